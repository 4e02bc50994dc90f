"""A picture as it might have been taken otherwise: another part of it, mirrored, in another light.

Source: Szegedy et al., 2015, arXiv:1409.4842 (crops of an area and a shape by chance), with milder bounds, as a
few pictures a class are learned here and not a million.
"""

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST_AREA = 0.5
SHAPES = (3 / 4, 4 / 3)
LIGHT = 0.25


def varied(image: "Image", chance: random.Random) -> "Image":
    """Another look at *image*, which stays as it is; the same *chance* gives the same look."""
    from PIL import Image, ImageEnhance, ImageOps

    found = image.crop(_box(image.size, chance))
    if chance.random() < 0.5:
        found = ImageOps.mirror(found)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        found = change(found).enhance(chance.uniform(1 - LIGHT, 1 + LIGHT))
    assert isinstance(found, Image.Image)
    return found


def _box(size: tuple[int, int], chance: random.Random) -> tuple[int, int, int, int]:
    """A part of a picture of *size* as left, upper, right and lower; never empty and never beyond it."""
    width, height = size
    area = width * height * chance.uniform(SMALLEST_AREA, 1)
    shape = math.exp(chance.uniform(math.log(SHAPES[0]), math.log(SHAPES[1]))) * width / height
    wide = min(max(round(math.sqrt(area * shape)), 1), width)
    high = min(max(round(math.sqrt(area / shape)), 1), height)
    left, upper = chance.randint(0, width - wide), chance.randint(0, height - high)
    return left, upper, left + wide, upper + high
