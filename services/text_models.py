"""Loaded language models, as the engine host opens them by their rows: whole ones, and adapters on a shared base."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from services import routes
from services.contracts.chat import ChatModel
from services.contracts.models import CatalogRow

if TYPE_CHECKING:
    from services.assemble import Services

LLAMA_CPP, TRANSFORMERS = "llama_cpp", "transformers_text"


@runtime_checkable
class Carrier(Protocol):
    """A loaded base that answers with any of its adapters."""

    def adapted(self, name: str, folder: Path) -> ChatModel:
        """The base with the adapter in *folder*, which is called *name* and is loaded when it is new."""
        ...


@contextmanager
def opened(row: CatalogRow, *, services: "Services", patience_seconds: float | None = None) -> Iterator[ChatModel]:
    """The model of *row*, loaded at least until the end of the block.

    All adapters of one base share what is loaded of it. Raises NotFound for a base that is gone, Unavailable, also
    when loading takes longer than *patience_seconds*.
    """
    lease = partial(services.pool.lease, patience_seconds=patience_seconds)
    if row.base is None:
        with lease(row, lambda: services.catalog.path(row)) as engine:
            assert isinstance(engine, ChatModel)
            yield engine
        return
    base = routes.local_row(row.base, services)
    with lease(_for_adapters(base, row), lambda: _weights(base, row, services)) as engine:
        assert isinstance(engine, Carrier)
        yield engine.adapted(row.id, services.catalog.path(row))


def _for_adapters(base: CatalogRow, row: CatalogRow) -> CatalogRow:
    """What is leased for the adapters of *base*, which on transformers is the base itself where it is its engine's."""
    if row.engine == base.engine == TRANSFORMERS:
        return base
    # A blank is in no model's id.
    engine = "llama_cpp_adapters" if row.engine == LLAMA_CPP else TRANSFORMERS
    return base.model_copy(update={"id": f"{base.id} with adapters on {engine}", "engine": engine})


def _weights(base: CatalogRow, row: CatalogRow, services: "Services") -> Path:
    """Where the base lies in the form that the adapter's engine loads."""
    path = services.catalog.path(base)
    if row.engine == LLAMA_CPP:
        return path
    from services.trainers import base_weights

    return base_weights.loadable(path, models_dir=services.settings.models_dir)
