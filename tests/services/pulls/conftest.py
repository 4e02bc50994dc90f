"""A hub and a package index of our own, and a catalog of nothing but what the tests put in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services import pulls
from services.catalog import Catalog
from services.compute.progress import SILENT, Job
from services.contracts.models import CatalogRow, Manifest
from services.settings import Settings
from tests.fakes.hub import HubFake

LocalRow = Callable[..., CatalogRow]


@dataclass
class Installation:
    """A models folder with a catalog; `pull` as the domain calls it."""

    settings: Settings
    catalog: Catalog

    def pull(self, row: CatalogRow, job: Job = SILENT) -> Manifest:
        return pulls.pull(row, catalog=self.catalog, settings=self.settings, job=job)

    @property
    def visible(self) -> list[str]:
        """What lies in the models folder, but for locks."""
        found = self.settings.models_dir.iterdir() if self.settings.models_dir.exists() else ()
        return sorted(path.name for path in found if path.suffix != ".lock")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubFake]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubFake() as fake:
        fake.files = {"config.json": b'{"model_type": "tiny"}', "model.safetensors": bytes(range(256)) * 4096}
        yield fake
        assert not fake.broken


@pytest.fixture
def here(settings: Settings, tmp_path: Path, hub: HubFake) -> Installation:
    near = settings.model_copy(
        update={"hub_url": hub.url(), "model_cache_dir": tmp_path / "cache", "upstream_idle_seconds": 5}
    )
    return Installation(near, Catalog(near))


@pytest.fixture
def row() -> LocalRow:
    def make(*sources: dict[str, Any], name: str = "tiny") -> CatalogRow:
        return CatalogRow.model_validate(
            {
                "id": name,
                "name": name,
                "abilities": ["chat"],
                "licence": "MIT",
                "engine": "transformers_text",
                "sources": list(sources),
            }
        )

    return make
