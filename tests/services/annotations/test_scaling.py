"""Pictures as they are sent: as they are where that will do, upright and smaller else."""

import io
from pathlib import Path

import pytest
from PIL import Image

from services.annotations import scaling
from services.annotations.scaling import LONGEST_SIDES, MOST_BYTES
from tests.painted import small_picture

MOST_PIXELS = 50_000_000
ON_ITS_SIDE = 6


def written(folder: Path, data: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(data)
    return path


def test_a_small_picture_stays_as_it_is(tmp_path: Path) -> None:
    data = small_picture(1)
    assert scaling.fit(written(tmp_path, data), "openai", max_pixels=MOST_PIXELS).data == data


@pytest.mark.parametrize("provider", list(LONGEST_SIDES))
@pytest.mark.parametrize("size", [(4000, 1000), (1000, 4000), (20000, 4)])
def test_a_large_one_fits_what_the_model_takes(tmp_path: Path, provider: str, size: tuple[int, int]) -> None:
    path = written(tmp_path, small_picture(1, "JPEG", size))
    fitted = scaling.fit(path, provider, max_pixels=MOST_PIXELS)
    assert max(fitted.width, fitted.height) == LONGEST_SIDES[provider]
    assert min(fitted.width, fitted.height) >= 1
    assert Image.open(io.BytesIO(fitted.data)).size == (fitted.width, fitted.height)


def test_a_heavy_one_becomes_lighter(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.effect_noise((1900, 1900), 100).convert("RGB").save(file, "PNG")
    assert len(file.getvalue()) > MOST_BYTES
    assert len(scaling.fit(written(tmp_path, file.getvalue()), "openai", max_pixels=MOST_PIXELS).data) <= MOST_BYTES


def test_a_picture_on_its_side_is_sent_upright(tmp_path: Path) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = ON_ITS_SIDE
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)
    fitted = scaling.fit(written(tmp_path, file.getvalue()), "openai", max_pixels=MOST_PIXELS)
    assert (fitted.width, fitted.height) == (20, 40)


def test_what_models_do_not_take_is_sent_as_png(tmp_path: Path) -> None:
    path = written(tmp_path, small_picture(1, "BMP"))
    assert scaling.fit(path, "anthropic", max_pixels=MOST_PIXELS).media_type == "image/png"
