"""Parameters in a PNG: read back by us and by others, and no pixel touched."""

import io
from pathlib import Path

import pytest
from PIL import Image

from services import pictures, png_notes


def photo() -> Image.Image:
    return Image.radial_gradient("L").resize((40, 30)).convert("RGB")


def as_jpeg() -> bytes:
    file = io.BytesIO()
    photo().save(file, "JPEG")
    return file.getvalue()


NOTE = {"prompt": '海边的日落 \0 "quoted"', "seed": 2**53 - 1, "guidance_scale": 7.5, "width": None}


def test_parameters_are_read_back(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(pictures.png(photo(), NOTE))
    assert png_notes.parameters(file) == NOTE
    assert png_notes.parameters(file.read_bytes()) == NOTE


def test_parameters_touch_no_pixel() -> None:
    image = Image.effect_noise((50, 50), 60).convert("RGB")
    assert pictures.read(pictures.png(image, NOTE), max_pixels=10**6).tobytes() == image.tobytes()


def test_other_programs_read_the_parameters() -> None:
    with Image.open(io.BytesIO(pictures.png(photo(), {"prompt": "日落"}))) as image:
        image.load()
        assert image.text["parameters"] == '{"prompt":"日落"}'


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", pictures.png(photo()), as_jpeg(), pictures.png(photo(), NOTE)[:60]]
)
def test_a_file_without_parameters(data: bytes) -> None:
    assert png_notes.parameters(data) is None
