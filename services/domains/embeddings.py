"""Embeddings: choose the model, let it embed, and write down what it used."""

import time
from typing import TYPE_CHECKING

from services import routes
from services.catalog import LOCAL, Route
from services.compute.registry import function
from services.contracts.embeddings import EmbeddingModel, EmbeddingRequest, Embeddings, EmbeddingTask
from services.engines.pool import PATIENCE_SECONDS
from services.providers import embedding_provider
from services.usage import UsageEntry

if TYPE_CHECKING:
    from services.assemble import Services


def embed(request: EmbeddingRequest, *, services: "Services", owner: str, request_id: str = "") -> Embeddings:
    """The vectors of the request's inputs, counted for *owner*.

    Raises NotFound for a model that nobody has, Unavailable for one that is not installed or has no key, and what
    the model raises.
    """
    route = routes.resolve(request.model, "embeddings", services=services, owner=owner)
    entry, started = UsageEntry(owner, request_id, "embeddings", route.provider, route.name), time.perf_counter()
    try:
        found = _embed(route, request, services, owner)
        entry.prompt_tokens = found.prompt_tokens
    except BaseException as error:
        entry.outcome = type(error).__name__
        raise
    finally:
        entry.total_ms = round((time.perf_counter() - started) * 1000)
        services.usage.add(entry)
    found.model = route.name
    return found


def _embed(route: Route, request: EmbeddingRequest, services: "Services", owner: str) -> Embeddings:
    if route.provider != LOCAL:
        return embedding_provider(route, services.settings, services.outbound).embed(request, owner=owner)
    task = EmbeddingTask.model_validate(request.model_dump() | {"model": route.upstream_model, "owner": owner})
    found: Embeddings = services.calls.call("embeddings.embed_here", task, services=services)
    return found


@function(needs_engine=True, lane="gpu")
def embed_here(request: EmbeddingTask, *, services: "Services") -> Embeddings:
    """What a local model makes of the inputs; runs where the engines are. `request.model` is a catalog id."""
    row = routes.local_row(str(request.model), services)
    with services.pool.lease(row, lambda: services.catalog.path(row), patience_seconds=PATIENCE_SECONDS) as engine:
        assert isinstance(engine, EmbeddingModel)
        return engine.embed(request, owner=request.owner)
