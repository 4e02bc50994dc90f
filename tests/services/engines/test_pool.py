"""A model that takes long to load: whoever asks is told in time, and it goes on loading."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.contracts.models import CatalogRow
from services.engines import base
from services.engines.base import Engine
from services.engines.pool import ModelPool
from services.errors import NotFound, Unavailable
from services.settings import Settings

ROW = CatalogRow(id="slow", name="slow", abilities=["chat"], licence="MIT", engine="slow")


@dataclass
class Gate:
    """What the slow engine waits for, and how often it was loaded."""

    opened: threading.Event
    loads: int = 0
    spent: list[Engine] = field(default_factory=list)
    unloaded: list[Engine] = field(default_factory=list)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """An engine called `slow`, which has loaded once the gate is open."""
    found = Gate(threading.Event())

    class Slow(Engine):
        memory_mb = 1.0

        def load(self) -> None:
            found.loads += 1
            assert found.opened.wait(20)

        def unload(self) -> None:
            found.unloaded.append(self)

        @property
        def spent(self) -> bool:
            return self in found.spent

    known = base.all_engines()
    monkeypatch.setitem(known, "slow", Slow)
    yield found
    found.opened.set()


def lease(pool: ModelPool, patience_seconds: float | None) -> Engine:
    with pool.lease(ROW, lambda: Path("nowhere"), patience_seconds=patience_seconds) as engine:
        return engine


def test_whoever_is_impatient_is_told(settings: Settings, gate: Gate) -> None:
    pool = ModelPool(settings)
    for _ in range(2):
        with pytest.raises(Unavailable) as told:
            lease(pool, 0.05)
        assert told.value.details["reason"] == "model_loading"
        assert told.value.retry_after_seconds
    gate.opened.set()
    assert lease(pool, 20) is lease(pool, None)
    assert gate.loads == 1
    pool.close()


def test_whoever_waits_has_it(settings: Settings, gate: Gate) -> None:
    pool = ModelPool(settings)
    timer = threading.Timer(0.2, gate.opened.set)
    timer.start()
    assert lease(pool, 20).row == ROW
    timer.join()
    pool.close()


def test_what_goes_wrong_beside_is_raised(settings: Settings, gate: Gate) -> None:
    pool = ModelPool(settings)

    def missing() -> Path:
        raise NotFound("gone", "gone")

    with pytest.raises(NotFound), pool.lease(ROW, missing, patience_seconds=20):
        pass
    assert pool.loaded() == []


def test_models_that_leave_at_once_are_waited_for(settings: Settings, gate: Gate) -> None:
    pool = ModelPool(settings.model_copy(update={"model_idle_seconds": 0}))
    gate.opened.set()
    assert lease(pool, 0.0).row == ROW
    assert (gate.loads, pool.loaded()) == (1, [])


def test_a_model_that_is_spent_is_loaded_anew_though_others_still_use_it(settings: Settings, gate: Gate) -> None:
    pool = ModelPool(settings)
    gate.opened.set()
    with pool.lease(ROW, lambda: Path("nowhere")) as first:
        with pool.lease(ROW, lambda: Path("nowhere")) as same:
            assert same is first
            gate.spent.append(first)
        with pool.lease(ROW, lambda: Path("nowhere")) as other:
            assert other is not first
        assert gate.unloaded == []
    assert gate.unloaded == [first] and gate.loads == 2
    assert lease(pool, None) is other
    pool.close()
    assert gate.unloaded == [first, other]
