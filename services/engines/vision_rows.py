"""Classifiers and detectors under MODELS_DIR that the catalog does not list: put there by hand, or pulled by hub id."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from services.contracts.models import Ability, CatalogRow

CONFIG, PROCESSOR, MANIFEST = "config.json", "preprocessor_config.json", "polymath.json"
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# What transformers calls its classes ends with what they do.
ENDINGS: dict[str, tuple[str, list[Ability]]] = {
    "ForImageClassification": ("classifier", ["image-classification", "training"]),
    "ForObjectDetection": ("detector", ["object-detection"]),
}


def rows(models_dir: Path) -> list[CatalogRow]:
    """A row for each folder of a model that looks at pictures; those that the catalog lists too have theirs there."""
    folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
    return [row for folder in folders for row in _row(folder)]


def _row(folder: Path) -> Iterator[CatalogRow]:
    if not (FOLDER.fullmatch(folder.name) and (folder / PROCESSOR).is_file()):
        return
    architectures = _read(folder / CONFIG).get("architectures")
    first = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    manifest = _read(folder / MANIFEST)
    for ending, (engine, abilities) in ENDINGS.items():
        if first.endswith(ending):
            yield CatalogRow(
                id=folder.name,
                name=str(manifest.get("source") or folder.name),
                description=first,
                abilities=abilities,
                licence=str(manifest.get("licence") or "as its maker says"),
                engine=engine,
                # What was pulled by a hub id may be called so too.
                aliases=[str(manifest["source"])] if manifest.get("source") else [],
            )


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; nothing where there is none."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
