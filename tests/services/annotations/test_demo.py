"""What pixels say of themselves."""

from pathlib import Path

import pytest
from PIL import Image

from services.annotations import demo
from tests.photographs import photograph

MOST_PIXELS = 50_000_000


@pytest.mark.parametrize(
    ("colour", "size", "words"),
    [
        ((255, 0, 0), (40, 20), ["landscape", "red", "40 x 20", "flat"]),
        ((0, 0, 255), (20, 40), ["portrait", "blue", "dark"]),
        ((255, 255, 255), (20, 20), ["square", "white", "bright"]),
        ((0, 0, 0), (1, 1), ["black", "dark"]),
        ((128, 128, 128), (20, 20), ["grey", "evenly lit"]),
    ],
)
def test_the_words_fit_the_pixels(
    tmp_path: Path, colour: tuple[int, int, int], size: tuple[int, int], words: list[str]
) -> None:
    Image.new("RGB", size, colour).save(tmp_path / "picture.png")
    said = demo.describe(tmp_path / "picture.png", language="en", max_pixels=MOST_PIXELS)
    assert [word for word in words if word not in said] == []


def test_photographs_are_told_apart_and_each_the_same_again() -> None:
    photos = [photograph(name) for name in ("chelsea", "coffee", "rocket")]
    said = [demo.describe(photo, language="zh", max_pixels=MOST_PIXELS) for photo in [*photos, photos[0]]]
    assert len(set(said)) == 3
    assert said[0] == said[3]
