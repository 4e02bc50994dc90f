"""Request bodies under gunicorn: fast ones let others run, and refused ones are hung up on.

gunicorn reads the rest of an unread body after the answer, a kilobyte at a time and without a pause: a
refused body of 90 MB was seen to hold a whole gevent worker for 4.6 s. A body that comes fast enough
never waits either, and a greenlet that never waits lets nobody else run.
"""

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import ParseException

from services.errors import Malformed

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Long enough for other greenlets, short enough not to slow an upload: 90 MB stalled 51 ms instead of 430.
PAUSE_SECONDS = 0.0005
PAUSE_EACH_BYTES = 2**20
SMALL_REST_BYTES = 2**16
LONGEST_GOODBYE_SECONDS = 2.0
LONGEST_GOODBYE_BYTES = 8 * 2**20
STALL_SECONDS = 30


class PoliteBodies:
    """WSGI middleware: counts what is read of a body and hangs up after an answer that left much unread."""

    def __init__(self, wsgi: WSGI) -> None:
        self._wsgi = wsgi

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        if connection is None or not _may_be_large(environ):
            return self._wsgi(environ, start_response)
        connection.settimeout(STALL_SECONDS)
        body = environ["wsgi.input"] = CountedBody(environ["wsgi.input"])

        def start(*head: Any) -> Any:
            if _much_is_unread(environ, body):
                # Without this the head says keep-alive, and a client's next request runs into the hang-up.
                start_response.__self__.force_close()  # type: ignore[attr-defined]  # It is gunicorn's Response.
            return start_response(*head)

        return Answer(self._wsgi(environ, start), environ, body)


class CountedBody:
    """`wsgi.input` that knows how much was read and pauses now and then."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._pause_at = PAUSE_EACH_BYTES
        self.read_bytes = 0
        self.ended = False

    def read(self, size: int = -1) -> bytes:
        return self._note(self._raw.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._note(self._raw.readline, size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _note(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            data = read(size)
        except ParseException as error:
            raise Malformed("The body's chunks cannot be read.", "无法读取分块传输的请求体。") from error
        self.read_bytes += len(data)
        self.ended = not data
        if self.read_bytes >= self._pause_at:
            self._pause_at = self.read_bytes + PAUSE_EACH_BYTES
            time.sleep(PAUSE_SECONDS)
        return data


class Answer:
    """The app's answer. A plain class: gunicorn hears the StopIteration of its close(); a generator could not."""

    def __init__(self, answer: Iterable[bytes], environ: dict[str, Any], body: CountedBody) -> None:
        self._answer, self._environ, self._body = answer, environ, body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close:
            close()
        if _much_is_unread(self._environ, self._body):
            hang_up(self._environ["gunicorn.socket"])
            raise StopIteration  # gunicorn's sign to close this connection and look for no other request in it.


def hang_up(connection: socket.socket) -> None:
    """Let the client read the answer, take a little more of its body, and leave.

    Shutting both directions at once would reset the connection before the client saw the answer.
    """
    end, taken = time.monotonic() + LONGEST_GOODBYE_SECONDS, 0
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while taken < LONGEST_GOODBYE_BYTES and (wait_seconds := end - time.monotonic()) > 0:
            connection.settimeout(wait_seconds)
            data = connection.recv(2**18)
            if not data:
                return
            taken += len(data)
            time.sleep(PAUSE_SECONDS)


def _may_be_large(environ: dict[str, Any]) -> bool:
    return bool(environ.get("HTTP_TRANSFER_ENCODING")) or _declared_bytes(environ) > SMALL_REST_BYTES


def _much_is_unread(environ: dict[str, Any], body: CountedBody) -> bool:
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return not body.ended
    return _declared_bytes(environ) - body.read_bytes > SMALL_REST_BYTES


def _declared_bytes(environ: dict[str, Any]) -> int:
    length = environ.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdigit() else 0
