"""A picture varied: the same by the same chance, in bounds, and never changed itself."""

import random

import pytest
from PIL import Image

from services.trainers.images.augmentation import _box, varied
from tests.photographs import photograph


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.open(photograph("chelsea")).convert("RGB").resize((90, 60))


def test_the_same_chance_gives_the_same_look_and_another_another(cat: Image.Image) -> None:
    looks = [varied(cat, random.Random(seed)) for seed in (1, 1, 2)]
    assert looks[0].tobytes() == looks[1].tobytes()
    assert looks[0].tobytes() != looks[2].tobytes()


def test_the_picture_itself_stays(cat: Image.Image) -> None:
    before = cat.tobytes()
    varied(cat, random.Random(3))
    assert cat.tobytes() == before


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (640, 480), (3, 7)])
def test_the_part_lies_within(size: tuple[int, int]) -> None:
    for seed in range(200):
        left, upper, right, lower = _box(size, random.Random(seed))
        assert 0 <= left < right <= size[0]
        assert 0 <= upper < lower <= size[1]


def test_about_half_are_mirrored() -> None:
    half = Image.new("RGB", (100, 100))
    half.paste((255, 255, 255), (0, 0, 50, 100))
    lit = [varied(half, random.Random(seed)) for seed in range(200)]
    mirrored = sum(sum(one.getpixel((0, 0))) < sum(one.getpixel((one.width - 1, 0))) for one in lit)  # type: ignore[arg-type]
    assert 70 < mirrored < 130
