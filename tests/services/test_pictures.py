"""Pictures as files: what is taken, what is refused, and what a PNG tells of how it was made."""

import io
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from services import pictures, png_notes
from services.errors import Busy, Invalid, UnsupportedMedia
from services.settings import ROOT

MOST = 50_000_000


def photo(size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return image.convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of_zeros(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel, as small as zlib makes it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(width // 8 + 1)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return png_notes.PNG_MARK + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")


def read(data: bytes) -> Image.Image:
    return pictures.read(data, max_pixels=MOST)


def refusal(data: bytes, most: int = MOST) -> str:
    """The reason for which *data* is refused."""
    with pytest.raises((Invalid, UnsupportedMedia)) as caught:
        pictures.read(data, max_pixels=most)
    with pytest.raises(type(caught.value)):
        pictures.check(data, max_pixels=most)
    return str(caught.value.details["reason"])


# What is refused


def test_a_bomb_is_refused_by_its_head() -> None:
    bomb = png_of_zeros(30_000, 30_000)
    assert len(bomb) < 3000
    started = time.perf_counter()
    assert refusal(bomb) == "too_many_pixels"
    assert time.perf_counter() - started < 0.5


def test_a_picture_one_pixel_over_the_limit() -> None:
    assert refusal(saved(photo((101, 100))), most=10_100 - 1) == "too_many_pixels"
    assert pictures.read(saved(photo((101, 100))), max_pixels=10_100).size == (101, 100)


def test_the_operators_limit_may_be_above_pillows() -> None:
    wide = saved(Image.new("1", (20_000, 10_000)))
    assert pictures.measure(wide, max_pixels=200_000_000) == ("image/png", 20_000, 10_000)


@pytest.mark.parametrize(
    "data",
    [
        b"just some words",
        b"<!DOCTYPE html><html><body>Not Found</body></html>",
        b"%PDF-1.7\n",
        b"\0\1\2\3",
        saved(photo(), "GIF"),
        saved(photo(), "TIFF"),
    ],
)
def test_other_kinds_of_bytes_are_refused(data: bytes) -> None:
    assert refusal(data) == "wrong_type"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_broken(kind: str, part: float) -> None:
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    whole = saved(noise, kind)
    assert refusal(whole[: int(len(whole) * part)]) == "broken"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_picture_that_is_broken_in_its_middle_is_told(mode: str) -> None:
    data = bytearray(saved(Image.effect_noise((400, 400), 80).convert(mode), "PNG"))
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    assert refusal(bytes(data)) == "broken"


@pytest.mark.parametrize("at", range(0, 4000, 271))
def test_a_flipped_byte_never_breaks_the_service(at: int) -> None:
    data = bytearray(saved(Image.effect_noise((60, 60), 80), "PNG"))
    data[at % len(data)] ^= 0xFF
    with suppress(Invalid, UnsupportedMedia):
        assert read(bytes(data)).mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [photo(), photo((40, 30)).rotate(180)]
    assert refusal(saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)) == "animated"


# What is taken


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_photos_are_read(kind: str) -> None:
    image = read(saved(photo(), kind))
    assert (image.mode, image.size) == ("RGB", (40, 30))
    red, _green, blue = image.getpixel((5, 5))
    assert red > 200 and blue < 60


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG")])
def test_every_way_of_colour_becomes_rgb(mode: str, kind: str) -> None:
    image = read(saved(photo(mode=mode), kind))
    assert (image.mode, image.size) == ("RGB", (40, 30))


def test_ink_becomes_light() -> None:
    red, green, blue = read(saved(photo(mode="CMYK"), "JPEG", quality=95)).getpixel((5, 5))
    assert red > 230 and green < 30 and blue < 30


def test_sixteen_bits_keep_their_shades() -> None:
    grey = Image.new("I;16", (8, 8), 0x8080)
    assert read(saved(grey)).getpixel((0, 0)) == (0x80, 0x80, 0x80)


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert read(saved(clear)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("orientation", "size"), [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40))])
def test_pictures_stand_upright(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    data = saved(photo(), "JPEG", exif=exif, quality=95)
    assert read(data).size == size
    checked = pictures.check(data, max_pixels=MOST)
    assert (checked.width, checked.height) == size
    assert read(checked.data).size == size


def test_a_half_turn_changes_the_sides() -> None:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 3
    red, _green, blue = read(saved(photo(), "JPEG", exif=exif, quality=95)).getpixel((5, 5))
    assert blue > 200 and red < 60


def test_a_plain_photo_is_sent_on_as_it_came(tmp_path: Path) -> None:
    file = tmp_path / "photo.txt"
    file.write_bytes(saved(photo(), "JPEG"))
    checked = pictures.check(file, max_pixels=MOST)
    assert (checked.data, checked.media_type) == (file.read_bytes(), "image/jpeg")


@pytest.mark.parametrize("data", [saved(photo(), "BMP"), saved(photo(mode="RGBA")), saved(photo(mode="CMYK"), "JPEG")])
def test_what_few_providers_take_is_sent_on_as_png(data: bytes) -> None:
    checked = pictures.check(data, max_pixels=MOST)
    assert checked.media_type == "image/png"
    assert read(checked.data).size == (checked.width, checked.height) == (40, 30)


SHORT, WORDS, FLOAT = 3, 2, 11
WIDTH, LENGTH = 0x0100, 0x0101


def stood(image: Image.Image, *tags: tuple[int, int, bytes]) -> bytes:
    """*image* as JPEG with EXIF *tags*: number, type, and a value of four bytes."""
    rows = b"".join(
        struct.pack("<HHI4s", tag, kind, 4 if kind == WORDS else 1, value.ljust(4, b"\0")) for tag, kind, value in tags
    )
    head = b"Exif\0\0II*\0\x08\0\0\0"
    return saved(image, "JPEG", exif=head + struct.pack("<H", len(tags)) + rows + bytes(4), quality=95)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(orientation: int) -> None:
    image = Image.effect_noise((24, 16), 90).convert("RGB")
    data = stood(image, (pictures.ORIENTATION, SHORT, bytes([orientation])))
    with Image.open(io.BytesIO(data)) as saved_image:
        assert read(data).tobytes() == ImageOps.exif_transpose(saved_image).tobytes()


@pytest.mark.parametrize(
    ("orientation", "more", "size"),
    [
        ((SHORT, b"\x06"), [(WIDTH, WORDS, b"abc")], (30, 40)),
        ((SHORT, b"\x06"), [(LENGTH, FLOAT, struct.pack("<f", 30.5))], (30, 40)),
        ((SHORT, b"\0"), [], (40, 30)),
        ((SHORT, b"\x63"), [], (40, 30)),
        ((WORDS, b"up"), [], (40, 30)),
    ],
)
def test_a_whole_photo_with_odd_tags_is_read(
    orientation: tuple[int, bytes], more: list[tuple[int, int, bytes]], size: tuple[int, int]
) -> None:
    data = stood(photo(), *sorted([*more, (pictures.ORIENTATION, *orientation)]))
    assert read(data).size == size
    checked = pictures.check(data, max_pixels=MOST)
    assert (checked.width, checked.height) == size


def test_tags_of_garbage_are_passed_over() -> None:
    assert read(saved(photo(), "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)).size == (40, 30)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_strips_are_no_different_from_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.effect_noise((50, 41), 80)
    if mode == "RGBA":
        image = Image.merge("RGBA", [image, image.rotate(90), image.rotate(180), image.rotate(45)])
    elif mode == "I;16":
        image = Image.frombytes("I;16", (50, 41), bytes(range(256)) * 17, "raw", "I;16")
    else:
        image = image.convert(mode)
    data = saved(image, "JPEG" if mode == "CMYK" else "PNG")
    whole = read(data).tobytes()
    monkeypatch.setattr(pictures, "STRIP_PIXELS", 120)
    assert read(data).tobytes() == whole


def test_a_large_picture_takes_its_memory_once_and_a_little(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    Image.new("RGBA", (5000, 5000), (255, 0, 0, 120)).save(file)
    code = (
        "import pathlib, re, sys; from PIL import Image; from services import pictures;"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]);"
        "pictures.read(pictures.png(Image.new('RGB', (9, 9))), max_pixels=100);"
        "before = peak();"
        "image = pictures.read(pathlib.Path(sys.argv[1]), max_pixels=10**8);"
        "assert image.getpixel((4000, 4000)) == (255, 135, 135);"
        "print(peak() - before)"
    )
    told = subprocess.run([sys.executable, "-c", code, file], check=True, capture_output=True, timeout=120, cwd=ROOT)
    # A hundred megabytes of four channels, a hundred of three (Pillow keeps four bytes a pixel), and a strip.
    assert 180 * 1024 < int(told.stdout) < 240 * 1024


def test_who_admits_is_told_before_a_pixel_is_decoded() -> None:
    def refuse(pixels: int) -> None:
        raise Busy("Too many.", "过多。", retry_after_seconds=pixels)

    broken = saved(Image.effect_noise((200, 200), 80), "PNG")[:-2000]
    with pytest.raises(Busy) as told:
        pictures.read(broken, max_pixels=MOST, admit=refuse)
    assert told.value.retry_after_seconds == 40_000
