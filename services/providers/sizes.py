"""The size that a model has nearest to the one that is asked for: by shape first, then by area."""

import math
from collections.abc import Sequence

Size = tuple[int, int]
STEP = 8


def asked_size(width: int | None, height: int | None) -> Size | None:
    """What was asked for; a side alone means a square, nothing means the model's own."""
    if width is None and height is None:
        return None
    return width or height or 0, height or width or 0


def nearest(wanted: Size, sizes: Sequence[Size]) -> Size:
    """The one of *sizes* whose shape is nearest to that of *wanted*, and of those the one nearest in area."""
    return min(sizes, key=lambda size: (round(_shape_apart(wanted, size), 2), _area_apart(wanted, size)))


def within_area(wanted: Size, least: int, most: int) -> Size:
    """*wanted*, scaled so that it has *least* to *most* pixels; sides become multiples of 8."""
    area = wanted[0] * wanted[1]
    if area < least:
        factor = math.sqrt(least / area)
        return _up(wanted[0] * factor), _up(wanted[1] * factor)
    factor = min(1.0, math.sqrt(most / area))
    return _down(wanted[0] * factor), _down(wanted[1] * factor)


def within_sides(wanted: Size, least: int, most: int) -> Size:
    """*wanted*, scaled into the sides *least* to *most*; what is longer than they allow is shortened."""
    factor = min(1.0, most / max(wanted))
    if min(wanted) * factor < least:
        factor = least / min(wanted)
    width, height = (min(most, max(least, _down(side * factor))) for side in wanted)
    return width, height


def _shape_apart(one: Size, other: Size) -> float:
    return abs(math.log(one[0] / one[1]) - math.log(other[0] / other[1]))


def _area_apart(one: Size, other: Size) -> float:
    return abs(math.log(one[0] * one[1]) - math.log(other[0] * other[1]))


def _up(side: float) -> int:
    return math.ceil(side / STEP) * STEP


def _down(side: float) -> int:
    return max(STEP, int(side) // STEP * STEP)
