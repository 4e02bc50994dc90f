"""Folders of classifiers and detectors are models by their names, and those of a hub by their hub's too."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.assemble import Services, assemble
from services.contracts.models import PullRequest
from services.domains import models
from services.engines.base import rows_under
from services.settings import Settings
from tests.fakes.hub import HubFake
from tests.vision_models import CLASSIFIER, DETECTORS

HUB_ID = "maker/tiny-yolos"


def put(folder: Path, config: str | None, processor: bool = True) -> Path:
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.json").write_text(config)
    if processor:
        (folder / "preprocessor_config.json").write_text("{}")
    return folder


def test_the_tiny_detectors_are_found(vision_models: Path) -> None:
    found = {row.id: row.engine for row in rows_under(vision_models)}
    assert found == {CLASSIFIER: "classifier"} | dict.fromkeys(DETECTORS, "detector")


def test_what_does_not_look_at_pictures_is_no_row(tmp_path: Path) -> None:
    assert rows_under(tmp_path / "none") == []
    detector = json.dumps({"architectures": ["YolosForObjectDetection"]})
    for name, config in {"a": None, "b": "{", "c": "[]", "d": '{"architectures": []}', ".hidden": detector}.items():
        put(tmp_path / name, config)
    put(tmp_path / "text", json.dumps({"architectures": ["LlamaForCausalLM"]}))
    put(tmp_path / "alone", detector, processor=False)
    (tmp_path / "file").write_text("x")
    assert rows_under(tmp_path) == []


def test_the_catalog_has_one_row_for_what_it_lists(settings: Settings, vision_models: Path) -> None:
    services = assemble(settings.model_copy(update={"models_dir": vision_models}))
    rows = [row for row in services.catalog.rows("image-classification") if row.id == CLASSIFIER]
    assert len(rows) == 1 and rows[0].starter
    services.close()


@pytest.fixture
def hub(vision_models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubFake]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubFake() as fake:
        fake.files = {path.name: path.read_bytes() for path in (vision_models / "tiny-yolos").iterdir()}
        yield fake


@pytest.fixture
def here(settings: Settings, hub: HubFake) -> Iterator[Services]:
    services = assemble(settings.model_copy(update={"hub_url": hub.url()}))
    yield services
    services.close()


def test_a_hub_id_is_enough(here: Services) -> None:
    result = models.pull(PullRequest(model=HUB_ID), services=here)
    assert (result.model, result.source) == ("maker--tiny-yolos", HUB_ID)
    for name in (HUB_ID, "maker--tiny-yolos"):
        route = here.catalog.resolve(name, "object-detection")
        assert route.row and (route.row.engine, route.row.id) == ("detector", "maker--tiny-yolos")
    assert models.pull(PullRequest(model=HUB_ID), services=here).already_installed
    assert models.verify(HUB_ID, services=here).ok
    models.remove(HUB_ID, services=here)
    assert here.catalog.rows("object-detection") == [
        row for row in here.catalog.rows("object-detection") if row.sources
    ]
