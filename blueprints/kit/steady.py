"""The connection under a WebSocket: frames go out whole, and memory stays bounded whatever the client does.

simple-websocket reads in a thread of its own and calls `send`, `recv` and `close` here. By itself it would
cut large frames under gevent, where a `send` may send a part, mix those of two threads, hold a worker for a
client that never reads, and keep every message of a client that sends faster than it is answered.
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Any

from services.cancellation import Cancellation

SEND_SECONDS = 5.0
MOST_WAITING = 32
LOOK_SECONDS = 0.02
LONGEST_GOODBYE_SECONDS = 2.0
LONGEST_GOODBYE_BYTES = 64 * 2**20
TOO_BIG = 1009
# What is read at once. simple-websocket's own 4096 bytes cost a picture dozens of rounds.
CHUNK_BYTES = 2**16


class SteadyConnection:
    """A connected socket for simple-websocket's `Server`, which is made known by `serve`.

    Sends are whole, one at a time, and fail with TimeoutError when the client takes nothing for
    `SEND_SECONDS`; the connection is then of no more use. A message over *most_bytes* closes with 1009.
    Of the messages that wait, `newest` keeps the last one alone; else reading pauses while many wait, and
    after the first one until the client is `admitted`.
    """

    def __init__(self, plain: Any, *, most_bytes: int, admitted: bool) -> None:
        plain.settimeout(SEND_SECONDS)  # simple-websocket waits by select before it reads, so sends alone feel it.
        self.most_bytes = most_bytes
        self.admitted = admitted
        self.newest = False
        self.dropped = 0
        self.taken = 0
        self._plain = plain
        self._server: Any = None
        self._switch = Cancellation()
        self._turn = threading.Lock()
        self._taking = threading.Lock()
        self._broken = False
        self._ending = False

    def serve(self, server: Any, switch: Cancellation) -> None:
        """Know the *server* that reads here; *switch* is thrown when the client leaves."""
        self._server, self._switch = server, switch

    def fileno(self) -> int:
        return int(self._plain.fileno())

    def send(self, data: bytes) -> int:
        """Send all of *data*. Raises OSError when the client is gone or does not read."""
        with self._turn:
            if self._broken:
                raise BrokenPipeError
            try:
                self._plain.sendall(data)
            except OSError:
                self._broken = True  # Half a frame may be out; nothing can follow it.
                raise
        return len(data)

    def recv(self, _size: int) -> bytes:
        """What the client sent next, when there is room for it; nothing when the talk is over."""
        if self._server is not None:
            self._bound()
        if self._ending:
            return b""
        data: bytes = self._plain.recv(CHUNK_BYTES)
        return data

    def take(self) -> tuple[Any, int]:
        """The next waiting message, or the newest one, and its number among all that came; None for none."""
        with self._taking:
            self._drop_older()
            if not self._server.input_buffer:
                return None, 0
            self.taken += 1
            return self._server.input_buffer.pop(0), self.taken + self.dropped

    def end(self) -> None:
        """Say goodbye and let the reading thread leave, within `LONGEST_GOODBYE_SECONDS` and a little."""
        self._ending = True
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_WR)
        self._server.thread.join(LONGEST_GOODBYE_SECONDS)
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)
        self._server.thread.join(LONGEST_GOODBYE_SECONDS)

    def close(self) -> None:
        """What the reading thread does last. The server that opened the connection closes it.

        A client that still sends would lose the close frame by a reset, so a little more is read.
        """
        self._switch.cancel("client_left")
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_WR)
            self._read_rest()
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)

    def _bound(self) -> None:
        """Drop what is old, wait until there is room, and close over a message that is too large."""
        with self._taking:
            self._drop_older()
        while self._is_full() and self._server.connected and not self._ending:
            time.sleep(LOOK_SECONDS)
            self._server.pong_received = True  # Nobody listened meanwhile.
        if self._server.incoming_message_len > self.most_bytes:
            self.refuse_large()
            raise ConnectionAbortedError

    def refuse_large(self) -> None:
        """Close with 1009 and the limit."""
        with suppress(Exception):  # It may be closing already.
            self._server.close(TOO_BIG, f"a message may have {self.most_bytes} bytes at most")

    def _drop_older(self) -> None:
        # The reading thread may append meanwhile, so what is counted is what is removed.
        older = len(self._server.input_buffer) - 1
        if self.newest and older > 0:
            self.dropped += older
            del self._server.input_buffer[:older]

    def _is_full(self) -> bool:
        waiting = self._server.input_buffer
        if not self.admitted:
            return bool(waiting or self.taken)
        return len(waiting) >= MOST_WAITING or sum(map(len, list(waiting))) > self.most_bytes

    def _read_rest(self) -> None:
        end, taken = time.monotonic() + LONGEST_GOODBYE_SECONDS, 0
        while taken < LONGEST_GOODBYE_BYTES and (wait_seconds := end - time.monotonic()) > 0:
            self._plain.settimeout(wait_seconds)
            data = self._plain.recv(2**18)
            if not data:
                return
            taken += len(data)
            time.sleep(0)  # A fast sender would let no other greenlet run.
