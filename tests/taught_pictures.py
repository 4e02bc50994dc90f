"""What classifiers are taught in tests: pictures of three colours, photographs, and tiny bases with random weights."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.datasets.store import Located
from tests.photographs import photograph

COLOURS = {"blue": (20, 40, 200), "green": (30, 180, 50), "red": (210, 30, 30)}
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
SIDE = 32


def coloured(label: str, number: int) -> bytes:
    """A picture of nearly one colour, another one for each number."""
    chance = random.Random(f"{label}{number}")
    shade = tuple(min(max(value + chance.randint(-20, 20), 0), 255) for value in COLOURS[label])
    image = Image.new("RGB", (40 + number % 3 * 8, 40), shade)
    image.paste((128, 128, 128), (number % 20, 5, number % 20 + 6, 11))
    return encoded(image)


def piece_of(name: str, number: int) -> Image.Image:
    """A part of a photograph, mirrored every other time; no two numbers give the same."""
    chance = random.Random(f"{name}{number}")
    image = Image.open(photograph(name)).convert("RGB")
    share = chance.uniform(0.55, 0.8)
    width, height = int(image.width * share), int(image.height * share)
    left, upper = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    found = image.crop((left, upper, left + width, upper + height))
    return found.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else found


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of *files* by their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def colour_files(each: int = 10, labels: tuple[str, ...] = tuple(COLOURS)) -> dict[str, bytes]:
    """*each* pictures of every colour, in a folder a class."""
    return {f"{label}/{number}.jpg": coloured(label, number) for label in labels for number in range(each)}


def put_folder(home: Path, files: dict[str, bytes]) -> Located:
    """*files* in a folder that the operator put there by hand."""
    for name, data in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    return Located("", "", home.name, f"data/{home.name}", home, {"train": home}, "image_label", "folder")


@pytest.fixture(scope="session")
def tiny_bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of tiny classifiers of several classes, with random weights, as a hub has them."""
    import torch
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny-bases")
    for name, build in BASES.items():
        torch.manual_seed(0)
        build().eval().save_pretrained(folder / name)
        ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder / name)
    return folder


def vit(**more: Any) -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(**(TRANSFORMER | more)))


def vit_with_chance() -> Any:
    """It drops values by chance while it learns."""
    return vit(hidden_dropout_prob=0.2)


def vit_of_three() -> Any:
    """It has as many classes as there are colours, each by itself."""
    return vit(num_labels=3, problem_type="multi_label_classification")


def resnet() -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return ResNetForImageClassification(ResNetConfig(**sizes))


def deit() -> Any:
    """Its word is the mean of two heads."""
    from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher

    return DeiTForImageClassificationWithTeacher(DeiTConfig(**TRANSFORMER))


TRANSFORMER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 8,
}
BASES: dict[str, Callable[[], Any]] = {
    "tiny-vit": vit,
    "tiny-vit-dropping": vit_with_chance,
    "tiny-vit-of-three": vit_of_three,
    "tiny-resnet": resnet,
    "tiny-deit": deit,
}
