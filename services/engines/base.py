"""What an engine is: a local model family, found by walking this package; a new one is one new file."""

import importlib
import pkgutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import ClassVar

from services.contracts.models import CatalogRow
from services.engines.folders import ModelFolder, model_folders
from services.settings import Settings

STALE_SECONDS = 2.0


class Engine(ABC):
    """One loaded checkpoint. Heavy libraries are imported in `load()` alone.

    After `load()`, its contract's methods may be called from many threads at once.
    """

    name: ClassVar[str]
    """What `engine` says in a catalog row."""

    def __init__(self, row: CatalogRow, path: Path, settings: Settings) -> None:
        self.row = row
        self.path = path
        self.settings = settings

    @property
    def spent(self) -> bool:
        """Whether it can never answer again, so that whoever comes next has to load the model anew."""
        return False

    @property
    def memory_mb(self) -> float:
        """About what the loaded model takes, in MiB: the size of its files unless an engine knows better."""
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files) / 2**20

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterable[CatalogRow]:
        """The row of *folder* where it holds a model of this engine."""
        return ()

    @classmethod
    def bundled_rows(cls) -> Iterable[CatalogRow]:
        """Models that come with this engine's library and need no folder."""
        return ()

    @abstractmethod
    def load(self) -> None:
        """Bring the weights into memory. Raises Unavailable when a library or a device is missing."""

    @abstractmethod
    def unload(self) -> None:
        """Give the memory back; nobody uses the model any more."""


def find_engine(name: str | None) -> type[Engine]:
    """The engine that catalog rows call *name*."""
    engines = all_engines()
    if name not in engines:
        raise KeyError(f"no engine {name!r}; there are {', '.join(sorted(engines))}")
    return engines[name]


def rows_under(models_dir: Path) -> list[CatalogRow]:
    """A row for each folder of *models_dir* that some engine knows; those that the catalog lists have theirs there."""
    engines = all_engines().values()
    return [row for folder in model_folders(models_dir) for engine in engines for row in engine.rows_of(folder)]


class LocalRows:
    """The rows of every model that is here and not in the catalog's file; the same list as long as none changed.

    Every call of a model that the file does not name asks for it, so the folders are read again only when
    MODELS_DIR changed, and each STALE_SECONDS for what was copied into a folder after it was made.
    """

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._rows: list[CatalogRow] = []
        self._seen: tuple[int, float] = (-1, 0.0)

    def __call__(self) -> list[CatalogRow]:
        changed, now = _changed_at(self._models_dir), time.monotonic()
        if changed != self._seen[0] or now - self._seen[1] > STALE_SECONDS:
            rows = [*rows_under(self._models_dir), *bundled_rows()]
            if rows != self._rows:
                self._rows = rows
            self._seen = changed, now
        return self._rows


def _changed_at(folder: Path) -> int:
    """When something was last made or removed right in *folder*; 0 where it is not there."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def bundled_rows() -> list[CatalogRow]:
    """Every model that comes with an engine's library."""
    return [row for engine in all_engines().values() for row in engine.bundled_rows()]


@cache
def all_engines() -> dict[str, type[Engine]]:
    """Every engine class by name."""
    package = importlib.import_module("services.engines")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"services.engines.{module.name}")
    return {engine.name: engine for engine in _subclasses(Engine) if hasattr(engine, "name")}


def _subclasses(base: type[Engine]) -> list[type[Engine]]:
    return [found for child in base.__subclasses__() for found in [child, *_subclasses(child)]]
