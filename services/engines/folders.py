"""Folders under MODELS_DIR that the catalog's file does not list: put there by hand, or pulled by a hub id."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from services.contracts.models import Ability, CatalogRow

CONFIG, MANIFEST = "config.json", "polymath.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ModelFolder:
    """One folder of weights, as engines look at it to tell whether it is theirs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def read(self, name: str) -> dict[str, Any]:
        """The object in a JSON file; an empty one where there is none."""
        try:
            found = orjson.loads((self.path / name).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.read(CONFIG)

    @cached_property
    def architecture(self) -> str:
        """The class that transformers saved; empty where none is told."""
        told = self.config.get("architectures")
        return str(told[0]) if isinstance(told, list) and told else ""

    def row(self, engine: str, abilities: list[Ability], description: str, **more: Any) -> CatalogRow:
        """The folder as a model of *engine*. What was pulled by a hub id may be called so too."""
        manifest = self.read(MANIFEST)
        source = str(manifest.get("source") or "")
        return CatalogRow(
            id=self.path.name,
            name=source or self.path.name,
            description=description,
            abilities=abilities,
            licence=str(manifest.get("licence") or "as its maker says"),
            engine=engine,
            aliases=[source] if source else [],
            **more,
        )


def model_folders(models_dir: Path) -> Iterator[ModelFolder]:
    """Every folder of *models_dir* whose name may be a model's, by name."""
    folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
    return (ModelFolder(path) for path in folders if path.is_dir() and NAME.fullmatch(path.name))
