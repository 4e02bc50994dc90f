"""Films as files: every browser must play them, so what is in them is read back."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from services import films
from services.errors import Invalid

COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]


def frames(count: int, size: tuple[int, int] = (64, 48)) -> Iterator[Image.Image]:
    return (Image.new("RGB", size, COLOURS[number % 3]) for number in range(count))


def test_a_film_is_what_browsers_play(tmp_path: Path) -> None:
    file = tmp_path / "film.part"
    films.write(file, frames(24), fps=8, parameters={"prompt": "一只猫", "seed": 7})
    facts = films.inspect(file)
    assert (facts.codec, facts.pixel_format) == ("h264", "yuv420p")
    assert (facts.width, facts.height, facts.num_frames, facts.fps) == (64, 48, 24, 8.0)
    assert facts.parameters == {"prompt": "一只猫", "seed": 7}


def test_it_plays_before_it_is_whole(tmp_path: Path) -> None:
    """The index (moov) stands before the frames (mdat)."""
    films.write(tmp_path / "film", frames(8), fps=8)
    data = (tmp_path / "film").read_bytes()
    assert data[4:8] == b"ftyp"
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("size", "written"), [((65, 48), (66, 48)), ((64, 49), (64, 50)), ((65, 49), (66, 50)), ((1, 1), (2, 2))]
)
def test_odd_sides_become_even(tmp_path: Path, size: tuple[int, int], written: tuple[int, int]) -> None:
    films.write(tmp_path / "film", frames(3, size), fps=8)
    facts = films.inspect(tmp_path / "film")
    assert (facts.width, facts.height) == written


def test_frames_come_back_in_order_and_colour(tmp_path: Path) -> None:
    films.write(tmp_path / "film", frames(6, (65, 49)), fps=8)
    with av.open(str(tmp_path / "film")) as container:
        shown = [frame.to_image().convert("RGB") for frame in container.decode(video=0)]
    assert len(shown) == 6
    for number, image in enumerate(shown):
        for corner in [(0, 0), (image.width - 1, image.height - 1)]:
            seen = image.getpixel(corner)
            assert max(abs(a - b) for a, b in zip(seen, COLOURS[number % 3], strict=True)) < 25


@pytest.mark.parametrize(("fps", "count"), [(1, 1), (60, 30), (7.5, 15), (23.976, 24)])
def test_every_speed(tmp_path: Path, fps: float, count: int) -> None:
    films.write(tmp_path / "film", frames(count), fps=fps)
    facts = films.inspect(tmp_path / "film")
    assert facts.num_frames == count
    assert facts.fps == pytest.approx(fps, rel=0.01)


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"\0\0\0\x18ftypmp42" + bytes(200)])
def test_what_is_no_film_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "film").write_bytes(data)
    with pytest.raises(Invalid):
        films.inspect(tmp_path / "film")


@pytest.mark.parametrize("part", [0.1, 0.4, 0.99])
def test_a_part_of_a_film_is_refused(tmp_path: Path, part: float) -> None:
    noise = (Image.effect_noise((64, 48), 80).convert("RGB") for _ in range(8))
    films.write(tmp_path / "film", noise, fps=8)
    data = (tmp_path / "film").read_bytes()
    (tmp_path / "film").write_bytes(data[: int(len(data) * part)])
    with pytest.raises(Invalid):
        films.inspect(tmp_path / "film")
