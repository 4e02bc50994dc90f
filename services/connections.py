"""Pooled HTTP connections whose waiting reads end when the work they belong to is cancelled."""

from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

from services import cancellation

CONNECTIONS_A_HOST = 1024


class _Watched:
    """Hands its socket to the current cancellation while a call is under way.

    The socket stays registered until the connection serves its next call or closes. Shutting down one
    that lies idle in the pool does no harm: urllib3 sees it dead and opens another.
    """

    _switch: cancellation.Cancellation | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._leave()
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._switch = cancellation.current()
        if self._switch:
            self._switch.watch(self.sock)  # type: ignore[attr-defined]

    def getresponse(self) -> Any:
        """The answer. One that ends with its connection has taken the socket over, and is watched all the same."""
        switch, connected = self._switch, self.sock  # type: ignore[attr-defined]
        response = super().getresponse()  # type: ignore[misc]
        if switch and connected and self.sock is None:  # type: ignore[attr-defined]
            switch.watch(connected)
        return response

    def close(self) -> None:
        self._leave()
        super().close()  # type: ignore[misc]

    def _leave(self) -> None:
        if self._switch and self.sock:  # type: ignore[attr-defined]
            self._switch.forget(self.sock)  # type: ignore[attr-defined]
        self._switch = None


class WatchedHTTPConnection(_Watched, HTTPConnection):
    """Plain HTTP."""


class WatchedHTTPSConnection(_Watched, HTTPSConnection):
    """HTTP over TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = WatchedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = WatchedHTTPSConnection


def open_pool() -> urllib3.PoolManager:
    """A pool of watched connections for trusted addresses; it neither retries nor follows redirects by itself."""
    pool = urllib3.PoolManager(maxsize=CONNECTIONS_A_HOST, retries=False)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


def end(response: BaseHTTPResponse, *, whole: bool) -> None:
    """Give the connection back when the body was read *whole*, else close it: its rest is nobody's answer."""
    if whole:
        response.release_conn()
    else:
        response.close()
