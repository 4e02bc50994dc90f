"""The starter set's faces: dlib with its real weights, and photographs of a person who was photographed once."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from services.assemble import Services, assemble
from services.catalog import Catalog
from services.contracts.models import PullRequest
from services.domains import models
from services.engines.pool import ModelPool
from services.settings import Settings
from tests.photographs import photograph

FACES = "dlib-faces"
# Where the face is on the photograph of the astronaut.
ASTRONAUT_BOX = (179, 83, 267, 171)


@pytest.fixture(scope="session")
def face_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the starter set's faces, pulled as a user pulls them; the download is cached."""
    folder, scratch = tmp_path_factory.mktemp("face-models"), tmp_path_factory.mktemp("pull")
    settings = Settings(_env_file=None, secret_key="x" * 32, instance_dir=scratch, models_dir=folder)
    assembled = assemble(settings)
    models.pull(PullRequest(model=FACES), services=assembled)
    assembled.close()
    return folder


@pytest.fixture(scope="session")
def face_pool() -> Iterator[ModelPool]:
    """Loaded once for all tests, as its process takes a second to start."""
    pool = ModelPool(Settings(_env_file=None, model_idle_seconds=-1))
    yield pool
    pool.close()


@pytest.fixture
def with_faces(face_models: Path, face_pool: ModelPool) -> Callable[..., Services]:
    """Give services these models; other words change settings."""

    def give(services: Services, **changes: object) -> Services:
        settings: Settings = services.settings.model_copy(update={"models_dir": face_models, **changes})
        found = replace(services, settings=settings, catalog=Catalog(settings), pool=face_pool)
        found.jobs.bind(found)
        return found

    return give


@pytest.fixture
def face_services(services: Services, with_faces: Callable[..., Services]) -> Services:
    """The services of one test, which have those models."""
    return with_faces(services)


def astronaut() -> Image.Image:
    return Image.open(photograph("astronaut")).convert("RGB")


def found_again() -> Image.Image:
    """The astronaut in another crop, mirrored and darker."""
    return ImageEnhance.Brightness(ImageOps.mirror(astronaut().crop((120, 10, 340, 260)))).enhance(0.6)


def twins() -> Image.Image:
    """The astronaut twice on one picture."""
    face = astronaut().crop((100, 20, 350, 270))
    both = Image.new("RGB", (500, 250))
    both.paste(face, (0, 0))
    both.paste(ImageOps.mirror(face), (250, 0))
    return both


def stranger(number: int = 3) -> Image.Image:
    """Somebody else: one of the small grey faces that scikit-image took from Labeled Faces in the Wild."""
    import numpy as np

    grey = (np.load(photograph("lfw_subset"))[number] * 255).astype(np.uint8)
    return ImageOps.expand(Image.fromarray(grey).resize((300, 300)), 60, fill=128).convert("RGB")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
