"""The engine host's side of a connection: question after question, each answered by the function that it names."""

import logging
import math
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from backend.capacity import MOST_AT_WORK, MOST_OF_ONE, MOST_WAITING
from blueprints.kit.presence import client_left, client_waits, connection_of
from services import connections
from services.assemble import Services
from services.compute import registry, wire
from services.compute.frames import ANSWER, ERROR, PIECE, Frames
from services.errors import Busy, NotFound, ServiceError, Unavailable

# The web lets go of a connection before, so that no question meets an end.
LONGEST_WAIT_SECONDS = 75
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Answering:
    """Serves connections, each in the thread of its caller. *own* are functions beside the domains', by name."""

    def __init__(self, services: Services, own: dict[str, Callable[[], Any]]) -> None:
        self._services, self._own = services, own
        self._most_bytes = 2 * services.settings.max_json_mb * 2**20 + wire.MOST_ATTACHED_BYTES
        self._at_work: Counter[str] = Counter()
        self._waiting: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False

    def serve(self, environ: dict[str, Any]) -> None:
        """Answer on the connection of *environ* until it ends. Raises OSError where the other side ends it."""
        connected = connection_of(environ)
        # The system's timeout: with Python's own, a look at the connection would wait too.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", LONGEST_WAIT_SECONDS, 0))
        frames = Frames(connected, self._most_bytes)
        stays = self._may_wait(connected, among=math.inf)
        try:
            while stays:
                # Named by nobody here, so that the last question does not lie about while the next is waited for.
                answering = self._answers(frames.receive().body, environ)
                self._begin(connected)
                with closing(answering) as answers:
                    for kind, body in answers:
                        stays = kind == PIECE or self._may_wait(connected)
                        frames.send(kind, body, stays=stays)
        finally:
            self._begin(connected)

    def close(self) -> None:
        """End the connections that wait for a question now, and others after their answer."""
        with self._lock:
            self._closed = True
            for connected in self._waiting:
                # A question that is there already is answered.
                if connections.peek(connected) is None:
                    with suppress(OSError):
                        connected.shutdown(socket.SHUT_RD)

    def _may_wait(self, connected: socket.socket, *, among: float = MOST_WAITING) -> bool:
        """Whether *connected* may wait here for its next question, *among* so many."""
        with self._lock:
            waits = not self._closed and len(self._waiting) < among
            if waits:
                self._waiting.add(connected)
            return waits

    def _begin(self, connected: socket.socket) -> None:
        with self._lock:
            self._waiting.discard(connected)

    def _answers(self, question: bytes, environ: dict[str, Any]) -> Generator[tuple[bytes, bytes], None, None]:
        """What is to be sent; the last one is an answer or an error, unless the other side has left."""
        name = wire.function_name(question)
        try:
            with self._place(name):
                yield from self._work(name, question, environ)
        except ServiceError as error:
            yield ERROR, wire.pack_error(error)
        except Exception:
            # A request that does not validate was checked by the web: the two run different code.
            log.exception("a request from the web failed", extra={"function": name})
            yield ERROR, wire.pack_error(_broken())

    @contextmanager
    def _place(self, name: str) -> Iterator[None]:
        """A place among those at work, which what the host says of itself needs not. Raises Busy where none is free."""
        if name in self._own:
            yield
            return
        with self._lock:
            if self._at_work.total() >= MOST_AT_WORK or self._at_work[name] >= MOST_OF_ONE:
                raise _busy()
            self._at_work[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work[name] -= 1

    def _work(self, name: str, question: bytes, environ: dict[str, Any]) -> Generator[tuple[bytes, bytes], None, None]:
        with client_waits(environ):
            answer = self._ask(name, question)
        if not isinstance(answer, Iterator):
            yield ANSWER, wire.pack(answer)
            return
        with closing(answer):  # type: ignore[type-var]  # All of them are generators.
            for batch in answer:
                if client_left(environ):
                    return
                yield PIECE, wire.pack(batch) if batch else b""
        yield ANSWER, b""

    def _ask(self, name: str, question: bytes) -> Any:
        if own := self._own.get(name):
            return own()
        try:
            function = registry.find(name)
        except KeyError as error:
            raise NotFound("The engine host has no function {name}.", "推理进程没有函数 {name}。", name=name) from error
        return function.call(wire.unpack_request(function.request, question), services=self._services)


def _broken() -> Unavailable:
    return Unavailable("The engine failed; its log has the reason.", "推理引擎出错，原因见日志。")


def _busy() -> Busy:
    return Busy(
        "The engine host has its hands full; try again in a moment.",
        "推理进程正忙，请稍后重试。",
        retry_after_seconds=RETRY_SECONDS,
        details={"reason": "host_full"},
    )
