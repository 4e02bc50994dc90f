"""gevent's worker of gunicorn, which starts sooner and sends an answer's head together with its body's beginning."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import metadata
from typing import Any

import gevent
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.ggevent import GeventWorker

from backend.accepting import EvenServer, Tally

MOST_JOINED_BYTES = 2**16
STATUSES = {LimitRequestLine: 414, LimitRequestHeaders: 431, ExpectationFailed: 417, UnsupportedTransferCoding: 501}
OF_OUR_OWN = (InvalidResponseHeader, InvalidResponseHeaderName)
# Made in the arbiter, which imports this module, so that all workers have the same.
TALLY = Tally()


class Worker(GeventWorker):
    """One system call less an answer: sending was a quarter of a short answer's time.

    What gunicorn itself refuses, before Flask sees it, gets the one error body and not a page of HTML.
    """

    def patch(self) -> None:
        """Let gevent stand in for the blocking parts of the standard library."""
        with entry_points_read_once():
            super().patch()

    def server_class(self, listener: Any, *, spawn: Any, ssl_context: Any = None, **_of_pywsgi: Any) -> EvenServer:
        """What accepts connections; gunicorn asks for it by this name."""
        more = {"ssl_context": ssl_context} if ssl_context else {}
        return EvenServer(listener, partial(self.handle, listener), spawn=spawn, tally=TALLY, place=self.age, **more)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        joined = JoinedSends(sock)
        try:
            answered = super().handle_request(listener_name, req, joined, addr)
        finally:
            with suppress(OSError):
                joined.flush()
        # A quick client's next request is there already, and its next; the other connections' come first.
        gevent.sleep(0)
        return answered

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """Answer a request that cannot be read; what is no fault of the client's is left to gunicorn."""
        if not isinstance(exc, ParseException) or isinstance(exc, OF_OUR_OWN):
            super().handle_error(req, client, addr, exc)
            return
        # Not before a worker has loaded the application: the arbiter imports this module too.
        from backend.app import refuse_unread

        self.log.warning("a request could not be read: %s", exc)
        answer = refuse_unread(self.wsgi, STATUSES.get(type(exc), 400))
        answer.headers["Connection"] = "close"
        with suppress(OSError):
            client.sendall(f"HTTP/1.1 {answer.status}\r\n{answer.headers}".encode("latin-1") + answer.get_data())


@contextmanager
def entry_points_read_once() -> Iterator[None]:
    """gevent asks who listens at each of 25 steps, and each time every installed package's metadata is read."""
    read = metadata.entry_points
    metadata.entry_points = read().select
    try:
        yield
    finally:
        metadata.entry_points = read


class JoinedSends:
    """A connection for one answer. Its first `sendall`, the head, waits for the next; any other use sends it now."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self._held = b""
        self._may_hold = True

    def sendall(self, data: bytes) -> None:
        """Send *data*, and before it what is held."""
        if self._may_hold:
            self._held, self._may_hold = data, False
        elif self._held and len(data) <= MOST_JOINED_BYTES:
            held, self._held = self._held, b""
            self._plain.sendall(held + data)
        else:
            self.flush()
            self._plain.sendall(data)

    def flush(self) -> None:
        """Send what is held, as an answer without a body ends."""
        if self._held:
            held, self._held = self._held, b""
            self._plain.sendall(held)

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._plain, name)
