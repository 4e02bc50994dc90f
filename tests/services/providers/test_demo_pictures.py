"""What the demo paints: quick, the same each time, and honest about what it is."""

import hashlib
import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.compute.progress import SILENT
from services.contracts.images import ImageRequest, Picture
from services.providers.demo_pictures import DemoPainter


def paint(**asked: Any) -> list[Picture]:
    request = ImageRequest(**({"prompt": "a cat"} | asked))
    return DemoPainter().paint(request, source=None, job=SILENT).pictures


def pixels(picture: Picture) -> "np.ndarray[Any, Any]":
    return np.asarray(Image.open(io.BytesIO(picture.data)))


def test_a_prompt_has_its_picture() -> None:
    first, again, other = paint()[0], paint()[0], paint(prompt="a dog")[0]
    assert hashlib.sha256(first.data).digest() == hashlib.sha256(again.data).digest()
    assert not np.array_equal(pixels(first), pixels(other))


def test_seeds_follow_one_another() -> None:
    several = paint(n=3, seed=5)
    assert [picture.seed for picture in several] == [5, 6, 7]
    assert len({picture.data for picture in several}) == 3
    assert paint(seed=6)[0].data == several[1].data


@pytest.mark.parametrize("size", [(64, 64), (64, 1024), (1024, 64), (200, 120)])
def test_every_size(size: tuple[int, int]) -> None:
    assert pixels(paint(width=size[0], height=size[1])[0]).shape == (size[1], size[0], 3)


def test_it_is_colourful() -> None:
    assert pixels(paint()[0]).std(axis=(0, 1)).min() > 30


@pytest.mark.parametrize("prompt", ["你好，世界", "\1\n\t", "x" * 20_000, "🐈"])
def test_every_prompt(prompt: str) -> None:
    assert pixels(paint(prompt=prompt)[0]).shape == (512, 512, 3)


def test_it_is_quick() -> None:
    paint()
    started = time.perf_counter()
    paint()
    assert time.perf_counter() - started < 0.3
