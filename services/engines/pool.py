"""Loaded models: each is loaded once, counted while used, and unloaded when idle or when memory is wanted."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services import metrics
from services.contracts.models import CatalogRow
from services.engines.base import Engine, find_engine
from services.errors import Unavailable
from services.settings import Settings
from services.threads import LateThread

log = logging.getLogger(__name__)

# Whoever waits for an answer hears after so long that the model is still being loaded: before the engine host's
# silence would be taken for its death, and before most clients give up.
PATIENCE_SECONDS = 40.0
ASK_AGAIN_SECONDS = 10.0


@dataclass
class Loaded:
    """A model in its slot; `engine` is None until the first user has loaded it."""

    engine: Engine | None = None
    users: int = 0
    last_used: float = field(default_factory=time.monotonic)
    loading: threading.Lock = field(default_factory=threading.Lock)


class ModelPool:
    """`with pool.lease(row) as engine:` gives a loaded engine.

    Idle models leave after `MODEL_IDLE_SECONDS`; when `MODEL_MEMORY_MB` would be exceeded, the least
    recently used idle ones leave first. One that is spent leaves at once. Safe from many threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots: dict[str, Loaded] = {}
        self._lock = threading.Lock()
        self._sweeper = LateThread(self._sweep, "idle-models")

    @contextmanager
    def lease(
        self, row: CatalogRow, path: Callable[[], Path], *, patience_seconds: float | None = None
    ) -> Iterator[Engine]:
        """A loaded engine for *row*, kept in memory at least until the end of the block.

        *path* is asked for the model's folder when it has to be loaded, and raises when it is not installed.
        Raises Unavailable when that takes longer than *patience_seconds*; the model goes on loading.
        """
        slot = self._take(row.id)
        try:
            if patience_seconds is not None and slot.engine is None and self._settings.model_idle_seconds != 0:
                self._warm(row, path, patience_seconds)
            with slot.loading:
                if slot.engine is None:
                    slot.engine = self._load(row, path)
            yield slot.engine
        finally:
            self._give_back(row.id, slot)

    def _warm(self, row: CatalogRow, path: Callable[[], Path], seconds: float) -> None:
        """Let the model be loaded beside, and wait so long for it."""
        loaded, failures = threading.Event(), list[BaseException]()

        def load() -> None:
            try:
                with self.lease(row, path):
                    pass
            except BaseException as error:  # noqa: BLE001 - whoever still waits raises it
                failures.append(error)
            finally:
                loaded.set()

        threading.Thread(target=load, name=f"load-{row.id}", daemon=True).start()
        if not loaded.wait(seconds):
            raise _loading(row.id)
        if failures:
            raise failures[0]

    def loaded(self) -> list[dict[str, object]]:
        """What is in memory: id, users and seconds since the last use."""
        now = time.monotonic()
        with self._lock:
            return [
                {"id": name, "users": slot.users, "idle_seconds": round(now - slot.last_used, 1)}
                for name, slot in self._slots.items()
                if slot.engine
            ]

    def unload(self, name: str) -> bool:
        """Unload *name* if nobody uses it; whether it was."""
        with self._lock:
            slot = self._slots.get(name)
            if slot is None or slot.users or slot.engine is None:
                return False
            del self._slots[name]
        self._unload(name, slot)
        return True

    def close(self) -> None:
        for name in list(self._slots):
            self.unload(name)

    def _take(self, name: str) -> Loaded:
        with self._lock:
            slot = self._slots.setdefault(name, Loaded())
            slot.users += 1
            return slot

    def _give_back(self, name: str, slot: Loaded) -> None:
        with self._lock:
            slot.users -= 1
            slot.last_used = time.monotonic()
            spent, was_last = slot.engine is not None and slot.engine.spent, not slot.users
            if (spent or (slot.engine is None and was_last)) and self._slots.get(name) is slot:
                del self._slots[name]
        if spent:
            # Whoever comes from now on has another; the last of those who had this one lets it go.
            if was_last:
                self._unload(name, slot)
        elif self._settings.model_idle_seconds == 0:
            self.unload(name)

    def _load(self, row: CatalogRow, path: Callable[[], Path]) -> Engine:
        engine = find_engine(row.engine)(row, path(), self._settings)
        self._make_room(engine.memory_mb)
        started = time.monotonic()
        engine.load()
        metrics.MODELS_LOADED.inc()
        log.info("model loaded", extra={"model": row.id, "seconds": round(time.monotonic() - started, 2)})
        self._watch_idle()
        return engine

    def _make_room(self, wanted_mb: float) -> None:
        bound_mb = self._settings.model_memory_mb
        while bound_mb and wanted_mb + self._memory_mb() > bound_mb:
            with self._lock:
                idle = [(slot.last_used, name) for name, slot in self._slots.items() if slot.engine and not slot.users]
            if not idle or not self.unload(min(idle)[1]):
                return

    def _memory_mb(self) -> float:
        return sum(slot.engine.memory_mb for slot in list(self._slots.values()) if slot.engine)

    def _unload(self, name: str, slot: Loaded) -> None:
        if slot.engine:
            slot.engine.unload()
            metrics.MODELS_LOADED.dec()
            log.info("model unloaded", extra={"model": name})

    def _watch_idle(self) -> None:
        if self._settings.model_idle_seconds > 0:
            self._sweeper.begin()

    def _sweep(self) -> None:
        idle_seconds = self._settings.model_idle_seconds
        while True:
            time.sleep(min(idle_seconds, 10))
            for model in self.loaded():
                if not model["users"] and float(str(model["idle_seconds"])) > idle_seconds:
                    self.unload(str(model["id"]))


def _loading(model: str) -> Unavailable:
    return Unavailable(
        "Model {model} is still being loaded; ask again in a moment.",
        "模型 {model} 正在加载，请稍后重试。",
        retry_after_seconds=ASK_AGAIN_SECONDS,
        details={"reason": "model_loading", "model": model},
        model=model,
    )
