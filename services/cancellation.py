"""Giving up work that nobody waits for: whoever starts a request holds the switch, whoever waits hears it.

A thread that waits for a socket hears nothing, so the connection of a call registers its socket here, and
cancelling shuts it down; the waiting read then fails at once and `check()` says why.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from services.errors import Cancelled


class Cancellation:
    """One switch for one piece of work; may be thrown from any thread, any number of times."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the work to end; *reason* is `client_left`, `restarting` or `cancelled`. The first one counts."""
        with self._lock:
            self.reason = self.reason or reason
            # Within the lock: a connection that is forgotten serves another's call the next moment.
            for waiting in self._sockets:
                _shut(waiting)

    def check(self) -> None:
        """Raise Cancelled when the switch was thrown."""
        if self.reason:
            raise Cancelled(reason=self.reason)

    def watch(self, connected: socket.socket) -> None:
        """Shut *connected* down when the switch is thrown, or at once when it already was."""
        with self._lock:
            self._sockets.add(connected)
        if self.reason:
            _shut(connected)

    def forget(self, connected: socket.socket) -> None:
        """No longer shut *connected* down: its call is over and it may serve another."""
        with self._lock:
            self._sockets.discard(connected)


_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


def current() -> Cancellation | None:
    """The switch of the work that runs here, if somebody holds one."""
    return _current.get()


@contextmanager
def cancellable(switch: Cancellation) -> Iterator[Cancellation]:
    """Let the work inside be ended by *switch*."""
    token = _current.set(switch)
    try:
        yield switch
    finally:
        _current.reset(token)


def _shut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
