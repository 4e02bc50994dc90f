"""The web's connections to the engine host, kept between questions; each has one question at a time."""

import logging
import socket
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import orjson

from services import cancellation, connections
from services.compute import wire
from services.compute.frames import ANSWER, ERROR, PIECE, PROTOCOL, QUESTION, Frame, Frames
from services.errors import Unavailable

CONNECT_SECONDS = 2
LONGEST_GREETING_BYTES = 2**14
# The host keeps so many of all workers together.
MOST_KEPT = 32
# Before the host lets go of them.
KEPT_SECONDS = 30

log = logging.getLogger(__name__)


class HostClient:
    """Asks the engine host at *url*; safe from any thread or greenlet.

    Raises the host's own errors, and Unavailable where it does not answer, falls silent, or dies meanwhile.
    """

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        # A process that was told of no host finds nobody there.
        self._address = address.hostname or "127.0.0.1", address.port or 80
        self._greeting = (
            f"GET {address.path}/ HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n"
            f"{wire.TOKEN_HEADER}: {token}\r\n\r\n"
        ).encode()
        # The last one that was used is the next: its thread in the host is still warm.
        self._kept: deque[tuple[Frames, float]] = deque()

    def call(self, name: str, request: bytes = b"", *, read_seconds: float) -> bytes:
        """The answer of the function *name* to *request*, as `wire.py` packs them."""
        with self._asked(name, request, read_seconds) as talk:
            return _answer(talk.receive())

    def stream(self, name: str, request: bytes = b"", *, silence_seconds: float) -> Generator[bytes, None, None]:
        """What the function *name* yields, as JSON; an empty one says that it is at work. Closing it ends the work."""
        with self._asked(name, request, silence_seconds) as talk:
            while (frame := talk.receive()).kind == PIECE:
                yield frame.body
            _answer(frame)

    @contextmanager
    def _asked(self, name: str, request: bytes, seconds: float) -> Iterator["Talk"]:
        """A talk in which the question is put."""
        try:
            talk = Talk(self._take(seconds))
            try:
                with _watched(talk.frames.connected):
                    talk.frames.send(QUESTION, b"%s\n%s" % (name.encode(), request))
                    yield talk
            finally:
                self._give_back(talk)
        except OSError as error:
            raise _host_gone() from error

    def _take(self, seconds: float) -> Frames:
        """A connection on which nothing is under way and whose reads wait for *seconds*."""
        with suppress(IndexError):
            while True:
                kept, since = self._kept.pop()
                kept.connected.settimeout(0)
                if connections.peek(kept.connected) is None and time.monotonic() - since < KEPT_SECONDS:
                    kept.connected.settimeout(seconds)
                    return kept
                kept.connected.close()
        return self._open(seconds)

    def _give_back(self, talk: "Talk") -> None:
        now = time.monotonic()
        with suppress(IndexError):
            while now - self._kept[0][1] > KEPT_SECONDS:
                self._kept.popleft()[0].connected.close()
        if talk.may_go_on and len(self._kept) < MOST_KEPT:
            self._kept.append((talk.frames, now))
        else:
            talk.frames.connected.close()

    def _open(self, seconds: float) -> Frames:
        connected = socket.create_connection(self._address, CONNECT_SECONDS)
        try:
            # A host all of whose threads are at work answers when one of them is free.
            connected.settimeout(seconds)
            with _watched(connected):
                connected.sendall(self._greeting)
                _await_welcome(connected)
            return Frames(connected)
        except BaseException:
            connected.close()
            raise


class Talk:
    """One question and what follows it."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.may_go_on = False

    def receive(self) -> Frame:
        """The next frame; after an answer or an error, the connection is free for another question."""
        frame = self.frames.receive()
        self.may_go_on = frame.kind in {ANSWER, ERROR} and frame.stays
        return frame


@contextmanager
def _watched(connected: socket.socket) -> Iterator[None]:
    """Reads on *connected* inside fail at once when the work that they belong to is cancelled."""
    switch = cancellation.current()
    if switch is None:
        yield
        return
    switch.watch(connected)
    try:
        yield
    finally:
        switch.forget(connected)


def _await_welcome(connected: socket.socket) -> None:
    """Read the head of the answer to the greeting. Raises OSError when it is not the host's, or no welcome."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < LONGEST_GREETING_BYTES:
        arrived = connected.recv(LONGEST_GREETING_BYTES)
        if not arrived:
            break
        head += arrived
    if not head.startswith(b"HTTP/1.1 101 "):
        # What ENGINE_URL names is no host, or one whose instance/ has another token.
        log.warning("no engine host answers at ENGINE_URL", extra={"answer": repr(head[:80])})
        raise ConnectionRefusedError(f"no engine host: {head[:80]!r}")


def _answer(frame: Frame) -> bytes:
    if frame.kind == ERROR:
        wire.raise_packed(orjson.loads(frame.body))
    return frame.body


def _host_gone() -> Unavailable:
    if switch := cancellation.current():
        switch.check()
    return Unavailable(
        "The engine host does not answer; it is started again by itself, try again in a moment.",
        "推理进程没有响应，正在自动重启，请稍后重试。",
        retry_after_seconds=2,
        details={"reason": "engine_host_gone"},
    )
