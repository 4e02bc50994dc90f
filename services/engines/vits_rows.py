"""Voices of transformers' VITS under MODELS_DIR that the catalog does not list: put there, or pulled by hub id."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from services.contracts.models import CatalogRow, VoiceFlags
from services.languages import canonical

CONFIG, TOKENIZER, MANIFEST = "config.json", "tokenizer_config.json", "polymath.json"
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def rows(models_dir: Path) -> list[CatalogRow]:
    """A row for each folder of a VITS model; those that the catalog lists too have theirs there."""
    folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
    return [row for folder in folders for row in _row(folder)]


def _row(folder: Path) -> Iterator[CatalogRow]:
    if not (FOLDER.fullmatch(folder.name) and (folder / TOKENIZER).is_file()):
        return
    if _read(folder / CONFIG).get("model_type") != "vits":
        return
    manifest = _read(folder / MANIFEST)
    source = str(manifest.get("source") or "")
    language = _read(folder / TOKENIZER).get("language")
    tag = canonical(language) if isinstance(language, str) else None
    yield CatalogRow(
        id=folder.name,
        name=source or folder.name,
        description="A voice of transformers' VITS",
        abilities=["speech"],
        licence=str(manifest.get("licence") or "as its maker says"),
        engine="vits",
        # What was pulled by a hub id may be called so too.
        aliases=[source] if source else [],
        voice=VoiceFlags(languages=[tag] if tag else []),
    )


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; nothing where there is none."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
