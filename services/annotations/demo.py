"""What a picture's own pixels say of it, in words: the offline stand-in for a vision model."""

import colorsys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from services import pictures

if TYPE_CHECKING:
    from PIL.Image import Image

SMALL = 64
COLOURS = 4
GREY_SATURATION = 0.12
DARK, BRIGHT = 0.25, 0.75
FLAT, RICH = 20.0, 60.0
# By hue in degrees, the first that is not exceeded.
HUES: list[tuple[int, str, str]] = [
    (15, "red", "红色"),
    (45, "orange", "橙色"),
    (70, "yellow", "黄色"),
    (165, "green", "绿色"),
    (195, "cyan", "青色"),
    (255, "blue", "蓝色"),
    (290, "purple", "紫色"),
    (340, "pink", "粉色"),
    (360, "red", "红色"),
]


class Words(NamedTuple):
    en: str
    zh: str


def describe(path: Path, *, language: str, max_pixels: int) -> str:
    """A sentence or two on the picture at *path*, the same each time. Raises what `pictures.read` raises."""
    image = pictures.read(path, max_pixels=max_pixels)
    small = image.resize((SMALL, SMALL))
    shape, light, contrast = _shape(image.width, image.height), _light(small), _contrast(small)
    colours = list(dict.fromkeys(_colours(small)))[:3]
    if language == "zh":
        named = "、".join(colour.zh for colour in colours)
        size = f"{image.width}×{image.height} 像素"
        return f"[演示] 一张{shape.zh}图片，{size}，{light.zh}，{contrast.zh}，主要颜色为{named}。"
    named = ", ".join(colour.en for colour in colours)
    size = f"{image.width} x {image.height} pixels"
    return f"[demo] A {shape.en} picture of {size}, {light.en} and {contrast.en}; its main colours are {named}."


def _shape(width: int, height: int) -> Words:
    if width == height:
        return Words("square", "正方形")
    return Words("landscape", "横向") if width > height else Words("portrait", "纵向")


def _light(small: "Image") -> Words:
    from PIL import ImageStat

    mean = ImageStat.Stat(small.convert("L")).mean[0] / 255
    if mean < DARK:
        return Words("dark", "画面偏暗")
    return Words("bright", "画面明亮") if mean > BRIGHT else Words("evenly lit", "亮度适中")


def _contrast(small: "Image") -> Words:
    from PIL import ImageStat

    spread = ImageStat.Stat(small.convert("L")).stddev[0]
    if spread < FLAT:
        return Words("flat", "对比度低")
    return Words("rich in contrast", "对比强烈") if spread > RICH else Words("of medium contrast", "对比度中等")


def _colours(small: "Image") -> list[Words]:
    """Names of the commonest colours, the commonest first."""
    counted = small.quantize(COLOURS).convert("RGB").getcolors(SMALL * SMALL) or []
    return [_name(*pixel) for _, pixel in sorted(counted, key=lambda one: (-one[0], one[1]))]  # type: ignore[misc]


def _name(red: int, green: int, blue: int) -> Words:
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < DARK / 2:
        return Words("black", "黑色")
    if saturation < GREY_SATURATION:
        return Words("white", "白色") if value > 1 - DARK / 2 else Words("grey", "灰色")
    return next(Words(en, zh) for most, en, zh in HUES if hue * 360 <= most)
