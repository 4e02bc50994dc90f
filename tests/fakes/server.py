"""A small HTTP/1.1 server for tests: it records what came, and misbehaves on purpose.

A handler is a plain function `handler(fake, request, *path_groups) -> Reply`. A reply's body is
bytes, text, anything JSON, or an iterator of pieces that is sent as it is produced. A piece is
bytes or text, or one of:

    None    nothing to send now: the server looks for 20 ms whether the client has left
    CUT     the connection is closed here, in the middle of the answer
    RESET   the same with a TCP reset
"""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import ClassVar, Self
from urllib.parse import unquote

from tests.fakes.connection import Connection, RecordedRequest, Reply

Handler = Callable[..., Reply]
Route = tuple[str, str, Handler]


class FakeServer:
    """One server on 127.0.0.1 at a free port; `with FakeServer() as fake:` or start() and stop()."""

    routes: ClassVar[list[Route]] = []

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._listener: _Listener | None = None
        self.release = threading.Event()
        self._forget()

    def _forget(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.broken: list[BaseException] = []
        self._added_routes: list[Route] = []
        self._counts: dict[str, int] = {}
        self._steps = threading.Semaphore(0)

    # -- life ------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listens; returns itself."""
        self._listener = _Listener(self)
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Ends every waiting answer, closes every connection and the port."""
        self.release.set()
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener.close_connections()
            self._listener = None

    def reset(self) -> None:
        """Forgets requests, counters and added routes; answers that still wait are let go."""
        waiting, self.release = self.release, threading.Event()
        waiting.set()
        with self._lock:
            self._forget()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        assert self._listener is not None, "the fake is not started"
        return self._listener.server_address[1]

    def url(self, path: str = "") -> str:
        """The address of a path on this server."""
        return f"http://127.0.0.1:{self.port}{path}"

    # -- what a test asks and steers -------------------------------------------------------

    def add_route(self, method: str, pattern: str, handler: Handler) -> None:
        """Answers this method and path (a whole-path regular expression) until reset()."""
        self._added_routes.insert(0, (method, pattern, handler))

    def wait_for_requests(self, count: int = 1, timeout: float = 5.0) -> list[RecordedRequest]:
        """The requests so far, as soon as there are `count` of them; TimeoutError otherwise."""
        with self._lock:
            if not self._lock.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came")
            return list(self.requests)

    def requests_to(self, path_part: str, method: str | None = None) -> list[RecordedRequest]:
        """The recorded requests whose path holds this text."""
        return [
            request for request in list(self.requests) if path_part in request.path and method in (None, request.method)
        ]

    def step(self, count: int = 1) -> None:
        """Lets `count` more pieces of a `stepped` answer go out."""
        self._steps.release(count)

    def count(self, name: str) -> int:
        """How often this was asked with this name since reset(), this time included."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1
            return self._counts[name]

    # -- pieces a handler can yield from ---------------------------------------------------

    def until_released(self) -> Iterator[None]:
        """Silence until the test sets `release` (or reset() or stop() does, or the client leaves)."""
        release = self.release
        while not release.is_set():
            yield None

    def until_stepped(self) -> Iterator[None]:
        """Silence until the test calls step() or sets `release`."""
        release, steps = self.release, self._steps
        while not release.is_set() and not steps.acquire(blocking=False):
            yield None

    # -- answering -------------------------------------------------------------------------

    def record(self, request: RecordedRequest) -> None:
        """Keeps the request and wakes who waits for it."""
        with self._lock:
            self.requests.append(request)
            self._lock.notify_all()

    def refuse(self, request: RecordedRequest) -> Reply | None:
        """What a request gets before any handler sees it (a bad key); None lets it through."""
        return None

    def not_found(self, request: RecordedRequest) -> Reply:
        """The answer for a path that no route knows."""
        return Reply({"error": f"no such route: {request.method} {request.path}"}, 404)

    def answer(self, request: RecordedRequest) -> Reply:
        """The reply of the first route that fits; a handler that raises answers 500 and is kept in `broken`."""
        try:
            for method, pattern, handler in [*self._added_routes, *self.routes]:
                match = re.fullmatch(pattern, request.path)
                if method == request.method and match:
                    groups = [unquote(group) for group in match.groups()]
                    return self.refuse(request) or handler(self, request, *groups)
            return self.not_found(request)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the test's to see, in `broken`
            self.broken.append(error)
            return Reply(json.dumps({"fake broke": repr(error)}), 500)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Connection)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self._open.add(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # type: ignore[override]
        """Says nothing: clients that vanish are part of the tests."""
