"""Pictures as files: read safely, and written as PNG.

What a file is, its bytes say. Its size is read from its head before a pixel is decoded, so that a small file
which unfolds to gigabytes costs nothing.
"""

import io
from collections.abc import Callable, Collection
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import filetypes, png_notes
from services.contracts.images import SourcePicture
from services.errors import Invalid, ServiceError, UnsupportedMedia

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

PHOTOS = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp"})
FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/bmp": "BMP", "image/gif": "GIF"}
# What every provider takes as it is; anything else is sent on as PNG.
PLAIN = {"image/jpeg", "image/png", "image/webp"}
ORIENTATION = 0x0112
UPRIGHT = 1
# What a program may have written of how it stood.
STANDING = ("exif", "xmp", "XML:com.adobe.xmp")
# A picture that is changed is changed in strips, so that there is one of it and a half, and not five.
STRIP_PIXELS = 2**20

# Zlib's third step writes a photo at twice the speed of its sixth, for a file a few hundredths larger.
PNG_EFFORT = 3
USUAL_QUALITY = 90


def read(
    source: bytes | Path,
    *,
    max_pixels: int,
    field: str = "image",
    kinds: Collection[str] = PHOTOS,
    admit: Callable[[int], None] | None = None,
) -> "Image":
    """The picture in *source* as RGB, upright by its EXIF orientation, transparent parts on white.

    Of 16 bits a channel the upper eight are kept. *admit* is told how many pixels it has before one is decoded.
    Raises UnsupportedMedia for bytes of another kind, Invalid for pictures that are over *max_pixels*, broken,
    truncated or animated, and what *admit* raises.
    """
    with _opened(source, max_pixels, field, kinds) as image:
        if admit:
            admit(image.width * image.height)
        # Before its tags are asked for: those of a PNG may stand behind its pixels, and what is broken there would be
        # taken for a tag.
        image.load()
        return _flat(_upright(image))


def check(source: bytes | Path, *, max_pixels: int, field: str = "image") -> SourcePicture:
    """The picture in *source*, whole and upright, as a file that can be sent on. Raises what `read` raises."""
    data = source.read_bytes() if isinstance(source, Path) else source
    media_type = filetypes.media_type(data[: filetypes.HEAD_BYTES])
    with _opened(data, max_pixels, field, PHOTOS) as image:
        image.load()
        width, height = image.size
        plain = image.mode in {"RGB", "L"} and _orientation(image) == UPRIGHT
        if plain and media_type in PLAIN:
            return SourcePicture(data, media_type, width, height)
        upright = _flat(_upright(image))
    return SourcePicture(png(upright), "image/png", upright.width, upright.height)


def glance(path: Path, *, max_pixels: int, field: str = "image") -> tuple[int, int, bool]:
    """Width, height, and whether the file can be sent on as it is, by its head alone: no pixel is decoded.

    For files that were read whole before. Raises what `read` raises for a head.
    """
    with _opened(path, max_pixels, field, PHOTOS) as image:
        upright = _orientation(image) == UPRIGHT
        plain = image.mode in {"RGB", "L"} and upright and _kind(path, PHOTOS) in PLAIN
        return *image.size, plain


def measure(data: bytes, *, max_pixels: int, field: str = "image") -> tuple[str, int, int]:
    """The media type, width and height of a picture that is whole. Raises what `read` raises."""
    with _opened(data, max_pixels, field, PHOTOS) as image:
        image.load()
        return filetypes.media_type(data[: filetypes.HEAD_BYTES]), *image.size


def png(image: "Image", parameters: dict[str, Any] | None = None) -> bytes:
    """*image* as a PNG file, with *parameters* in its metadata."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=PNG_EFFORT)
    return png_notes.with_parameters(file.getvalue(), parameters) if parameters else file.getvalue()


def recoded(data: bytes, form: str, *, quality: int | None, max_pixels: int) -> bytes:
    """The picture in *data* as a file of *form*: `png`, `jpeg` or `webp`; as it is where it is that already."""
    media_type = f"image/{form}"
    if filetypes.media_type(data[: filetypes.HEAD_BYTES]) == media_type and quality is None:
        return data
    image = read(data, max_pixels=max_pixels)
    if form == "png":
        return png(image)
    file = io.BytesIO()
    image.save(file, FORMATS[media_type], quality=quality or USUAL_QUALITY)
    return file.getvalue()


@contextmanager
def _opened(source: bytes | Path, max_pixels: int, field: str, kinds: Collection[str]) -> "Iterator[Image]":
    """The picture in *source*, its head read and its size judged; whatever breaks inside says that it is broken."""
    from PIL import Image

    kind = _kind(source, kinds)
    # Pillow guards by a bound of its own, which must not be the lower one.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=[FORMATS[kind]]) as image:
            _judge(image, max_pixels, field)
            yield image
    except ServiceError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(field, max_pixels) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise whatever broken bytes lead them to.
        raise Invalid(
            field,
            "The picture is broken or truncated; send it again.",
            "图片已损坏或不完整，请重新上传。",
            reason="broken",
        ) from error


def _kind(source: bytes | Path, kinds: Collection[str]) -> str:
    if isinstance(source, bytes):
        head = source[: filetypes.HEAD_BYTES]
    else:
        with source.open("rb") as file:
            head = file.read(filetypes.HEAD_BYTES)
    found = filetypes.media_type(head)
    if found not in kinds or found not in FORMATS:
        raise UnsupportedMedia(
            "The file's bytes are {found}; a picture of {kinds} is wanted.",
            "文件内容为 {found}，此处仅接受 {kinds} 图片。",
            details={"reason": "wrong_type", "found": found},
            found=found,
            kinds=", ".join(sorted(kinds)),
        )
    return found


def _judge(image: "Image", max_pixels: int, field: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_many_pixels(field, max_pixels)
    # Cameras put a second, smaller picture behind the first of a JPEG file; that is no animation.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise Invalid(
            field,
            "The picture is animated; send a single frame.",
            "不支持动态图片，请上传静态图片。",
            reason="animated",
        )


def _orientation(image: "Image") -> Any:
    """How *image* stands by its EXIF; upright where that says nothing that makes sense."""
    try:
        return image.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # noqa: BLE001 - Pillow raises whatever broken tags lead to, and the picture itself may be whole
        return UPRIGHT


def _upright(image: "Image") -> "Image":
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(_orientation(image))
    if turn is None:
        return image
    upright = image.transpose(turn)
    for told in STANDING:
        upright.info.pop(told, None)
    return upright


def _flat(image: "Image") -> "Image":
    """*image* as RGB of 8 bits."""
    from PIL import Image

    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    flat = Image.new("RGB", image.size)
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        flat.paste(_flat_strip(strip), (0, top))
    return flat


def _flat_strip(strip: "Image") -> "Image":
    from PIL import Image

    if strip.mode.startswith(("I", "F")):
        # The upper byte of two: Pillow would cut at 255 instead.
        strip = strip.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if strip.has_transparency_data:
        over = strip.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return strip.convert("RGB")


def _too_many_pixels(field: str, max_pixels: int) -> Invalid:
    return Invalid(
        field,
        "The picture has more than {most} million pixels; send a smaller one.",
        "图片像素超过 {most} 百万，请缩小后重新上传。",
        reason="too_many_pixels",
        most=round(max_pixels / 1e6, 1),
    )
