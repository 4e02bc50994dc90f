"""Calls and streams by name, run here or in the engine host."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import urllib3
from pydantic import BaseModel
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from services import cancellation, connections
from services.compute import registry, wire
from services.errors import Unavailable

if TYPE_CHECKING:
    from services.assemble import Services

# The host sends an empty line at least this often while it works, so silence means that it is gone.
HOST_SILENCE_SECONDS = 60
CALL_SECONDS = 600


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
    """Runs them in the engine host, over HTTP on the loopback interface."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {wire.TOKEN_HEADER: token, "Content-Type": "application/json"}
        self._pool = connections.open_pool()

    def call(self, name: str, request: BaseModel, *, services: "Services") -> Any:
        response = self._open(f"/call/{name}", request.model_dump_json().encode(), CALL_SECONDS)
        with _heard(response):
            body = orjson.loads(response.data)
        if response.status != 200:
            wire.raise_packed(body)
        return registry.find(name).answer.validate_python(body)

    def stream(self, name: str, request: BaseModel, *, services: "Services") -> Iterator[Any]:
        response = self._open(f"/stream/{name}", request.model_dump_json().encode(), HOST_SILENCE_SECONDS)
        answer = registry.find(name).answer
        with _heard(response):
            for line in _lines(response):
                if line.startswith(b"{"):
                    wire.raise_packed(orjson.loads(line))
                yield answer.validate_json(line) if line else []

    def health(self) -> dict[str, Any]:
        response = self._open("/health", None, 2)
        with _heard(response):
            return dict(orjson.loads(response.data))

    def _open(self, path: str, body: bytes | None, read_seconds: float) -> BaseHTTPResponse:
        try:
            return self._pool.request(
                "GET" if body is None else "POST",
                self._url + path,
                body=body,
                headers=self._headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=2, read=read_seconds),
            )
        except HTTPError as error:
            raise _host_gone() from error


@contextmanager
def _heard(response: BaseHTTPResponse) -> Iterator[None]:
    """Read *response* inside: a host that dies is Unavailable, and the connection is kept only after a whole answer."""
    whole = False
    try:
        yield
        whole = True
    except HTTPError as error:
        raise _host_gone() from error
    finally:
        connections.end(response, whole=whole)


def _lines(response: BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    while chunk := response.read1(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _host_gone() -> Unavailable:
    if switch := cancellation.current():
        switch.check()
    return Unavailable(
        "The engine host does not answer; it is started again by itself, try again in a moment.",
        "推理进程没有响应，正在自动重启，请稍后重试。",
        retry_after_seconds=2,
        details={"reason": "engine_host_gone"},
    )
