"""What is loaded is not searched for garbage again."""

import gc
from collections.abc import Iterator

import pytest

from backend import garbage


@pytest.fixture
def _collection_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


@pytest.mark.usefixtures("_collection_as_before")
def test_what_is_loaded_is_spared_and_the_rest_is_searched() -> None:
    gc.disable()
    loaded: list[object] = []
    loaded.append(loaded)
    garbage.spare_what_is_loaded()
    assert gc.isenabled()
    assert gc.get_threshold() == garbage.COLLECT_EVERY
    assert not any(one is loaded for one in gc.get_objects())
    fresh: list[object] = []
    fresh.append(fresh)
    assert any(one is fresh for one in gc.get_objects())
