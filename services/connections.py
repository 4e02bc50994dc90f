"""Pooled HTTP connections whose waiting reads end when the work they belong to is cancelled."""

import re
import socket
from http.client import HTTPResponse, IncompleteRead
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

from services import cancellation

CONNECTIONS_A_HOST = 1024
READ_BYTES = 2**14
MOST_HELD_BYTES = 2**16
LONGEST_CHUNK_HEAD_BYTES = 2**16
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class PromptResponse(HTTPResponse):
    """An answer whose `read1` gives all chunks that are there, where http.client gives one at each call.

    Providers send a chunk a token, and a call through all layers costs more than the token itself. Only
    `read1` may be used on an answer once it was used.
    """

    _chunk_left = 0
    _rest = b""
    _last_chunk_seen = False
    _ended = False

    def read1(self, n: int = -1) -> bytes:
        """What is there, at most *n* bytes, waiting for some; none at the end. Raises IncompleteRead."""
        if not self.chunked or self.fp is None:
            return super().read1(n)
        while not self._ended:
            arrived = self.fp.read1(min(n, READ_BYTES) if n > 0 else READ_BYTES)
            if not arrived:
                raise IncompleteRead(b"")
            if payload := self._unwrap(self._rest + arrived):
                return payload
        self._close_conn()  # type: ignore[attr-defined]
        return b""

    def _unwrap(self, data: bytes) -> bytes:
        """The chunks' contents in *data*; what is not understood yet stays in `_rest`."""
        pieces, at = [], 0
        while at < len(data) and not self._ended:
            if self._chunk_left:
                pieces.append(data[at : at + self._chunk_left])
                at += len(pieces[-1])
                self._chunk_left -= len(pieces[-1])
                continue
            end = data.find(b"\n", at)
            if end < 0:
                break
            self._take_line(data[at:end].strip())
            at = end + 1
        self._rest = data[at:]
        if len(self._rest) > LONGEST_CHUNK_HEAD_BYTES:
            raise IncompleteRead(b"")
        return b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        """The empty line after a chunk, the size of the next one, or what follows the last one."""
        if self._last_chunk_seen:
            self._ended = not line
        elif line:
            size = line.partition(b";")[0].strip()
            if not CHUNK_SIZE.fullmatch(size):  # int() would take signs and underscores too.
                raise IncompleteRead(b"")
            self._chunk_left = int(size, 16)
            self._last_chunk_seen = self._chunk_left == 0


class _Watched:
    """Hands its socket to the current cancellation while a call is under way.

    The socket stays registered until the connection serves its next call or closes. Shutting down one
    that lies idle in the pool does no harm: urllib3 sees it dead and opens another.
    """

    _switch: cancellation.Cancellation | None = None
    _held: bytes | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._leave()
        self._held = b""
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
            self._send_held()
        finally:
            self._held = None
        self._switch = cancellation.current()
        if self._switch:
            self._switch.watch(self.sock)  # type: ignore[attr-defined]

    def send(self, data: Any) -> None:
        """Send *data*; a request's head waits for its body, so that both are one packet and one system call."""
        if self._held is None or not isinstance(data, bytes) or len(self._held) + len(data) > MOST_HELD_BYTES:
            self._send_held()
            super().send(data)  # type: ignore[misc]
        else:
            self._held += data

    def _send_held(self) -> None:
        if self._held:
            held, self._held = self._held, None
            super().send(held)  # type: ignore[misc]

    def getresponse(self) -> Any:
        """The answer. One that ends with its connection has taken the socket over, and is watched all the same."""
        switch, connected = self._switch, self.sock  # type: ignore[attr-defined]
        response = super().getresponse()  # type: ignore[misc]
        if switch and connected and self.sock is None:  # type: ignore[attr-defined]
            switch.watch(connected)
        return response

    @property
    def is_connected(self) -> bool:
        """Whether the connection can serve another call: still open, and nothing unasked for has come.

        Under gevent urllib3's own look costs 100 microseconds, and among many at once it was seen to miss one
        in thirty connections that were shut; a look at the system's socket behind gevent's takes 2 and misses none.
        """
        if getattr(self.sock, "_sock", None) is None:  # type: ignore[attr-defined]
            return bool(super().is_connected)  # type: ignore[misc]
        return peek(self.sock) is None  # type: ignore[attr-defined]

    def close(self) -> None:
        self._leave()
        super().close()  # type: ignore[misc]

    def _leave(self) -> None:
        if self._switch and self.sock:  # type: ignore[attr-defined]
            self._switch.forget(self.sock)  # type: ignore[attr-defined]
        self._switch = None


class WatchedHTTPConnection(_Watched, HTTPConnection):
    """Plain HTTP."""

    response_class = PromptResponse


class WatchedHTTPSConnection(_Watched, HTTPSConnection):
    """HTTP over TLS."""

    response_class = PromptResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = WatchedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = WatchedHTTPSConnection


def peek(connected: socket.socket) -> bytes | None:
    """What has come on *connected* and waits to be read, a byte of it at most; none where it is broken or ended.

    None where nothing has come. It takes nothing and never waits, but for a thread's socket that has a timeout: Python
    waits for that before it asks. Not for TLS.
    """
    plain = getattr(connected, "_sock", connected)  # gevent's own recv would wait.
    try:
        return bytes(plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return None
    except OSError:
        return b""


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
