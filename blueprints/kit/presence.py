"""Whether the clients of running requests are still there, asked for all of them by one thread a process.

Neither gevent nor threads notice that a client hung up before the next write, and with a silent upstream
that may be minutes. Looking at the connection costs a system call and takes no byte. The same thread
tells running requests that this worker is stopping.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services import connections
from services.cancellation import Cancellation, cancellable
from services.threads import LateThread

LOOK_SECONDS = 0.2
CLIENT_LEFT = "client_left"
RESTARTING = "restarting"


class Presence:
    """Throws the switches of requests whose client left or whose worker stops."""

    def __init__(self) -> None:
        self.worker: Any = None
        self._waiting: dict[Cancellation, dict[str, Any]] = {}
        self._some = threading.Event()
        self._looker = LateThread(self._look, "presence")

    def watch(self, switch: Cancellation, environ: dict[str, Any]) -> None:
        """Throw *switch* when the client of *environ* leaves or the worker stops."""
        self._waiting[switch] = environ
        self._looker.begin()
        self._some.set()

    def forget(self, switch: Cancellation) -> None:
        self._waiting.pop(switch, None)

    @property
    def stopping(self) -> bool:
        """Whether this gunicorn worker was told to stop."""
        return self.worker is not None and not self.worker.alive

    def _look(self) -> None:
        while self._some.wait():
            for switch, environ in list(self._waiting.items()):
                if client_left(environ):
                    switch.cancel(CLIENT_LEFT)
                elif self.stopping:
                    switch.cancel(RESTARTING)
            if not self._waiting:
                self._some.clear()
            time.sleep(LOOK_SECONDS)


presence = Presence()


@contextmanager
def client_waits(environ: dict[str, Any]) -> Iterator[Cancellation]:
    """Work inside is cancelled when the client of *environ* hangs up."""
    switch = Cancellation()
    presence.watch(switch, environ)
    try:
        with cancellable(switch):
            yield switch
    finally:
        presence.forget(switch)


def client_left(environ: dict[str, Any]) -> bool:
    """Whether the client hung up: looks, never waits, takes no byte. TLS is terminated in front of us."""
    connected = connection_of(environ)
    return connected is not None and connections.peek(connected) == b""


def connection_of(environ: dict[str, Any]) -> Any:
    """The socket on which the request of *environ* came; None where no server tells it."""
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
