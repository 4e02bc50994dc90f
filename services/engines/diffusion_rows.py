"""Pipelines that somebody put under MODELS_DIR by hand, as rows of the catalog: a folder is enough."""

import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from services.contracts.models import Ability, CatalogRow
from services.engines.diffusion_folder import INDEX

MANIFEST = "polymath.json"
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PICTURES: list[Ability] = ["text-to-image", "image-to-image"]
# Classes of diffusers that film, and what each does; those that paint are many, and are told apart when loaded.
FILMS: dict[str, list[Ability]] = {
    "AllegroPipeline": ["text-to-video"],
    "AnimateDiffPipeline": ["text-to-video"],
    "CogVideoXImageToVideoPipeline": ["image-to-video"],
    "CogVideoXPipeline": ["text-to-video"],
    "HunyuanVideoImageToVideoPipeline": ["image-to-video"],
    "HunyuanVideoPipeline": ["text-to-video"],
    "I2VGenXLPipeline": ["image-to-video"],
    "LTXImageToVideoPipeline": ["text-to-video", "image-to-video"],
    "LTXPipeline": ["text-to-video", "image-to-video"],
    "LattePipeline": ["text-to-video"],
    "MochiPipeline": ["text-to-video"],
    "StableVideoDiffusionPipeline": ["image-to-video"],
    "TextToVideoSDPipeline": ["text-to-video"],
    "WanImageToVideoPipeline": ["image-to-video"],
    "WanPipeline": ["text-to-video"],
}


def rows(models_dir: Path) -> list[CatalogRow]:
    """A row for each folder with a `model_index.json`; what was pulled has a manifest and a row already."""
    folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
    return [row for folder in folders for row in _row(folder)]


def _row(folder: Path) -> Iterator[CatalogRow]:
    index = folder / INDEX
    if not (FOLDER.fullmatch(folder.name) and index.is_file()) or (folder / MANIFEST).exists():
        return
    try:
        class_name = orjson.loads(index.read_bytes())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    yield CatalogRow(
        id=folder.name,
        name=folder.name,
        description=f"{class_name}, put here by hand" if isinstance(class_name, str) else "Put here by hand",
        abilities=FILMS.get(class_name, PICTURES) if isinstance(class_name, str) else PICTURES,
        licence="as its maker says",
        engine="diffusion",
    )
