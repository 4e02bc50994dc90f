"""What a trainer is: a recipe, found by walking this package and those in it; a new one is one new file."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from services.compute.progress import SILENT, Job
from services.contracts.models import Ability, CatalogRow
from services.contracts.training import TrainingRequest
from services.datasets.store import Located
from services.settings import Settings

CHECKPOINTS, FINAL = "checkpoints", "final"


@dataclass(frozen=True)
class Run:
    """One training: what was asked for, and where everything lies.

    `folder` is this run's alone and outlives the process: checkpoints in `checkpoints/`, the result in
    `final/`, which appears in one rename as the last deed.
    """

    request: TrainingRequest
    base: Path
    base_row: CatalogRow
    dataset: Located
    folder: Path
    settings: Settings
    job: Job = SILENT

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    @property
    def final(self) -> Path:
        return self.folder / FINAL


@dataclass(frozen=True)
class Estimate:
    """What is known of a training before it starts; `warnings` are sentences for people, by language."""

    rows: int
    longest: int = 0
    """Tokens of the longest row."""
    cut_rows: int = 0
    """Rows that are longer than `max_length`."""
    memory_mb: float = 0
    """About what it takes."""
    available_mb: float = 0
    warnings: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """What a training left in `final/`."""

    engine: str
    """Which engine answers with it."""
    abilities: list[Ability]
    adapter: bool = False
    """Whether it needs its base's weights to answer."""
    metrics: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    """Whether it was stopped before its end; what is there is whole all the same."""


class Trainer(ABC):
    """A recipe. Heavy libraries are imported in `train()` alone, and it runs in a process of its own."""

    name: ClassVar[str]
    """What `trainer` says in a request."""

    @abstractmethod
    def check(self, run: Run) -> Estimate:
        """Whether *run* can succeed, as far as can be known before it starts; `run.folder` need not exist.

        Raises Invalid for rows or parameters that cannot be trained, Unavailable when memory will not do.
        """

    @abstractmethod
    def train(self, run: Run) -> Trained:
        """Train, from the newest whole checkpoint where there is one. Raises Cancelled, Unavailable."""


def find_trainer(name: str) -> Trainer:
    """The trainer that requests call *name*."""
    trainers = all_trainers()
    if name not in trainers:
        raise KeyError(f"no trainer {name!r}; there are {', '.join(sorted(trainers))}")
    return trainers[name]()


@cache
def all_trainers() -> dict[str, type[Trainer]]:
    """Every trainer class by name."""
    package = importlib.import_module("services.trainers")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return {trainer.name: trainer for trainer in Trainer.__subclasses__() if hasattr(trainer, "name")}
