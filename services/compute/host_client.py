"""The web's connections to the engine host: HTTP on the loopback interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from services import cancellation, connections
from services.compute import wire
from services.errors import Unavailable

CONNECT_SECONDS = 2


class HostClient:
    """Asks the engine host at *url*; safe from any thread or greenlet."""

    def __init__(self, url: str, token: str) -> None:
        self._headers = {wire.TOKEN_HEADER: token, "Content-Type": "application/json"}
        self._pool = connections.open_pool_to(url)
        self._folder = urlsplit(url).path

    @contextmanager
    def ask(
        self, method: str, path: str, body: bytes | None = None, *, read_seconds: float
    ) -> Iterator[BaseHTTPResponse]:
        """The host's answer, to be read inside. Raises Unavailable where it does not answer or dies meanwhile."""
        whole = False
        try:
            answer = self._pool.urlopen(
                method,
                self._folder + path,
                body=body,
                headers=self._headers,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            )
        except HTTPError as error:
            raise _host_gone() from error
        try:
            yield answer
            whole = True
        except HTTPError as error:
            raise _host_gone() from error
        finally:
            # The connection is kept only after a whole answer.
            connections.end(answer, whole=whole)


def lines_of(answer: BaseHTTPResponse) -> Iterator[bytes]:
    """The lines of a streamed *answer* as they come."""
    rest = b""
    while chunk := answer.read1(65536):
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
