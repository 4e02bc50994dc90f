"""Folders of pipelines as rows of the catalog: a folder is enough."""

from collections.abc import Iterator

from services.contracts.models import Ability, CatalogRow
from services.engines.diffusion_folder import INDEX
from services.engines.folders import ModelFolder

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


def rows_of(folder: ModelFolder) -> Iterator[CatalogRow]:
    """The row of *folder* where it holds a pipeline; whether its class is known is told when it is loaded."""
    index = folder.read(INDEX)
    if "_class_name" not in index:
        return
    class_name = index["_class_name"]
    abilities = FILMS.get(class_name, PICTURES) if isinstance(class_name, str) else PICTURES
    yield folder.row("diffusion", abilities, class_name if isinstance(class_name, str) else "")
