"""Chat: choose the model, hand on its answer, and write down what it used."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services import metrics, routes, text_models
from services.compute.registry import function
from services.contracts.chat import ChatDelta, ChatModel, ChatReply, ChatRequest, TokenCount, Usage
from services.engines.pool import PATIENCE_SECONDS
from services.errors import Cancelled, ServiceError
from services.providers import chat_provider
from services.usage import UsageEntry

if TYPE_CHECKING:
    from services.assemble import Services
    from services.catalog import Route


def reply(request: ChatRequest, *, services: "Services", owner: str, request_id: str = "") -> ChatReply:
    """The whole answer to *request*, counted for *owner*."""
    route = routes.resolve(request.model, "chat", services=services, owner=owner)
    with Meter(services, route, owner, request_id) as meter:
        answer = open_model(route, services).reply(request)
        meter.count(answer.usage)
    answer.model = route.name
    return answer


def stream(
    request: ChatRequest, *, services: "Services", owner: str, request_id: str = ""
) -> Iterator[list[ChatDelta]]:
    """The answer to *request* piece by piece, counted for *owner*. Closing it ends the work."""
    return _metered(lambda model: model.stream(request), request.model, services, owner, request_id)


def continue_text(
    request: ChatRequest, *, services: "Services", owner: str, request_id: str = ""
) -> Iterator[list[ChatDelta]]:
    """What follows the only message of *request* as a text, where the model can; its answer to it elsewhere."""
    return _metered(lambda model: model.continue_text(request), request.model, services, owner, request_id)


def _metered(
    ask: Callable[[ChatModel], Iterator[list[ChatDelta]]],
    name: str | None,
    services: "Services",
    owner: str,
    request_id: str,
) -> Iterator[list[ChatDelta]]:
    """What the model called *name* answers to *ask*; nothing is asked before the first piece is."""
    route = routes.resolve(name, "chat", services=services, owner=owner)
    with Meter(services, route, owner, request_id) as meter:
        for batch in ask(open_model(route, services)):
            meter.hear(batch)
            yield batch


def default_model(*, services: "Services", owner: str) -> str:
    """The id of the model that answers *owner* when none is named. Raises Unavailable where there is none."""
    return routes.resolve(None, "chat", services=services, owner=owner).name


def count(request: ChatRequest, *, services: "Services", owner: str) -> TokenCount:
    """How many tokens the prompt of *request* has; nothing is generated."""
    route = routes.resolve(request.model, "chat", services=services, owner=owner)
    return open_model(route, services).count(request)


@function(needs_engine=True, lane="gpu")
def generate(request: ChatRequest, *, services: "Services") -> Iterator[list[ChatDelta]]:
    """The answer of a local model; runs where the engines are. `request.model` is a catalog id."""
    with _leased(request, services) as model:
        yield from model.stream(request)


@function(needs_engine=True, lane="gpu")
def generate_text(request: ChatRequest, *, services: "Services") -> Iterator[list[ChatDelta]]:
    """What a local model writes after the only message of *request*; else as `generate`."""
    with _leased(request, services) as model:
        yield from model.continue_text(request)


@function(needs_engine=True, lane="gpu")
def count_tokens(request: ChatRequest, *, services: "Services") -> TokenCount:
    """How many tokens a prompt has for a local model; else as `generate`."""
    with _leased(request, services) as model:
        return model.count(request)


@contextmanager
def _leased(request: ChatRequest, services: "Services") -> Iterator[ChatModel]:
    row = routes.local_row(str(request.model), services)
    with text_models.opened(row, services=services, patience_seconds=PATIENCE_SECONDS) as model:
        yield model


def open_model(route: "Route", services: "Services") -> ChatModel:
    """The model at the end of *route*: a provider's, or a local one behind the engine host."""
    if route.provider == "local":
        return LocalChat(route.upstream_model, services)
    return chat_provider(route, services.settings, services.outbound)


class LocalChat(ChatModel):
    """A local model, wherever the engines run."""

    def __init__(self, model: str, services: "Services") -> None:
        self._model = model
        self._services = services

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        yield from self._services.calls.stream("chat.generate", self._named(request), services=self._services)

    def continue_text(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        yield from self._services.calls.stream("chat.generate_text", self._named(request), services=self._services)

    def count(self, request: ChatRequest) -> TokenCount:
        counted: TokenCount = self._services.calls.call(
            "chat.count_tokens", self._named(request), services=self._services
        )
        return counted

    def _named(self, request: ChatRequest) -> ChatRequest:
        return request.model_copy(update={"model": self._model})


class Meter:
    """Measures one call and writes it down at the end, however it ends."""

    def __init__(self, services: "Services", route: "Route", owner: str, request_id: str) -> None:
        self._usage = services.usage
        self._entry = UsageEntry(owner, request_id, "chat", route.provider, route.name)
        self._started = time.perf_counter()
        if route.row and route.row.folder:
            services.trained.note_use(route.row.id)

    def __enter__(self) -> "Meter":
        return self

    def hear(self, batch: list[ChatDelta]) -> None:
        """Note the first piece and the usage."""
        if batch and self._entry.first_token_ms is None:
            self._entry.first_token_ms = self._milliseconds()
        for delta in batch:
            if delta.usage:
                self.count(delta.usage)

    def count(self, usage: Usage) -> None:
        self._entry.prompt_tokens = usage.prompt_tokens
        self._entry.completion_tokens = usage.completion_tokens

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._entry.total_ms = self._milliseconds()
        self._entry.outcome = _outcome(error)
        if isinstance(error, ServiceError) and not isinstance(error, Cancelled):
            metrics.UPSTREAM_ERRORS.labels(self._entry.provider, self._entry.outcome).inc()
        self._usage.add(self._entry)

    def _milliseconds(self) -> int:
        return round((time.perf_counter() - self._started) * 1000)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, Cancelled):
        return error.reason
    return "client_left" if isinstance(error, GeneratorExit) else type(error).__name__
