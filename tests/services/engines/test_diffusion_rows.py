"""Folders that somebody put under MODELS_DIR are models by their names."""

import json
from pathlib import Path

import pytest

from services.assemble import assemble
from services.contracts.images import ImageRequest
from services.domains import images
from services.engines.base import rows_under
from services.settings import Settings


def put(models: Path, name: str, index: str | None) -> Path:
    folder = models / name
    folder.mkdir(parents=True)
    if index is not None:
        (folder / "model_index.json").write_text(index)
    return folder


def test_the_tiny_models_are_found(tiny_models: Path) -> None:
    found = {row.id: row.abilities for row in rows_under(tiny_models)}
    assert found == {
        "tiny-ltx": ["text-to-video", "image-to-video"],
        "tiny-sd": ["text-to-image", "image-to-image"],
        "tiny-sdxl": ["text-to-image", "image-to-image"],
    }


def test_what_is_no_pipeline_is_no_row(tmp_path: Path) -> None:
    assert rows_under(tmp_path / "none") == []
    for name, index in {"a": None, "b": "{", "c": "[]", "d": "{}", ".hidden": '{"_class_name": "X"}'}.items():
        put(tmp_path, name, index)
    (tmp_path / "file").write_text("x")
    assert rows_under(tmp_path) == []


def test_what_was_pulled_by_a_hub_id_is_called_so_too(tmp_path: Path) -> None:
    pulled = put(tmp_path, "maker--ltx", '{"_class_name": "LTXPipeline"}')
    (pulled / "polymath.json").write_text('{"source": "maker/ltx", "licence": "apache-2.0"}')
    (row,) = rows_under(tmp_path)
    assert (row.id, row.aliases, row.licence, row.abilities[0]) == (
        "maker--ltx",
        ["maker/ltx"],
        "apache-2.0",
        "text-to-video",
    )


@pytest.mark.parametrize("class_name", ["Unknown", ["pipeline", "Own"], None])
def test_a_class_that_nobody_knows_is_refused_when_it_is_loaded(tmp_path: Path, class_name: object) -> None:
    put(tmp_path, "own", json.dumps({"_class_name": class_name}))
    assert [row.id for row in rows_under(tmp_path)] == ["own"]


def test_a_folder_is_enough(settings: Settings, tiny_models: Path) -> None:
    services = assemble(settings.model_copy(update={"models_dir": tiny_models}))
    asked = ImageRequest(prompt="a cat", model_id="tiny-sd", width=64, height=64, num_inference_steps=1)
    result = images.generate(asked, services=services)
    assert (result.model, result.provider, result.width) == ("tiny-sd", "local", 64)
    services.close()
