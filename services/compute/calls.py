"""Calls and streams by name, run here or in the engine host."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from services.compute import registry, wire
from services.compute.host_client import HostClient

if TYPE_CHECKING:
    from services.assemble import Services

# The host sends an empty piece at least this often while it works, so silence means that it is gone.
HOST_SILENCE_SECONDS = 60
CALL_SECONDS = 600
HEALTH_SECONDS = 2


class Calls(ABC):
    """Runs registered functions that need an engine, wherever the engines are."""

    @abstractmethod
    def call(self, name: str, request: BaseModel, *, services: "Services") -> Any:
        """What the function returns. Raises ServiceError's subclasses, as the function does."""

    @abstractmethod
    def stream(self, name: str, request: BaseModel, *, services: "Services") -> Iterator[Any]:
        """What the function yields. Closing the iterator ends the work."""

    def health(self) -> dict[str, Any]:
        """What the place where engines run says of itself; raises Unavailable when it does not answer."""
        return {}


class InlineCalls(Calls):
    """Runs them in this process: in the engine host itself, in tests, and under `python wsgi.py`."""

    def call(self, name: str, request: BaseModel, *, services: "Services") -> Any:
        return registry.find(name).call(request, services=services)

    def stream(self, name: str, request: BaseModel, *, services: "Services") -> Iterator[Any]:
        yield from registry.find(name).call(request, services=services)


class HostCalls(Calls):
    """Runs them in the engine host."""

    def __init__(self, host: HostClient) -> None:
        self._host = host

    def call(self, name: str, request: BaseModel, *, services: "Services") -> Any:
        answer = self._host.call(name, wire.pack_request(request), read_seconds=CALL_SECONDS)
        return registry.find(name).answer.validate_python(orjson.loads(answer))

    def stream(self, name: str, request: BaseModel, *, services: "Services") -> Iterator[Any]:
        answer = registry.find(name).answer
        for piece in self._host.stream(name, wire.pack_request(request), silence_seconds=HOST_SILENCE_SECONDS):
            yield answer.validate_json(piece) if piece else []

    def health(self) -> dict[str, Any]:
        return dict(orjson.loads(self._host.call(wire.HEALTH, read_seconds=HEALTH_SECONDS)))
