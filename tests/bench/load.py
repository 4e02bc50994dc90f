"""The load: many clients in one process of their own, on raw asyncio; prints what it saw as JSON.

python -m tests.bench.load '{"port": 8000, "kind": "whole", "clients": 32, "seconds": 3, "token": "…"}'
python -m tests.bench.load '{"port": 8000, "kind": "stream", "clients": 500, "pieces": 60, "token": "…"}'
python -m tests.bench.load '{"port": 8000, "kind": "health", "clients": 1, "seconds": 3, "token": "…"}'
python -m tests.bench.load '{"port": 8000, "kind": "picture", "clients": 8, "seconds": 3, "path": "…", "file": "…"}'
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

LONGEST_SECONDS = 90.0
QUESTION = "What is the capital of France, and on which river does it lie?"
FRAME, TEXT, LAST_CHUNK = b"data: ", b'"content"', b"\r\n0\r\n\r\n"


@dataclass
class Seen:
    """What one run saw; times in milliseconds."""

    times: list[float] = field(default_factory=list)
    pieces: int = 0
    errors: int = 0
    example: str = ""
    first: float = float("inf")
    last: float = 0.0

    def fail(self, why: bytes | str) -> None:
        self.errors += 1
        self.example = self.example or (why if isinstance(why, str) else why[:300].decode(errors="replace"))

    def note(self, started: float, ended: float) -> None:
        self.first, self.last = min(self.first, started), max(self.last, ended)


def request_bytes(plan: dict[str, Any]) -> bytes:
    """The request that every client of *plan* sends."""
    if plan["kind"] == "health":
        return b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % plan.get("path", "/health").encode()
    token = b"Authorization: Bearer %s\r\n" % plan["token"].encode() if plan.get("token") else b""
    if plan["kind"] == "picture":
        return picture_bytes(plan, token)
    path = b"/api/chat/stream" if plan["kind"] == "stream" else b"/api/chat/completions"
    messages = [{"role": "user", "content": plan.get("question", QUESTION)}]
    asked = {"model": plan.get("model", "gpt-bench"), "messages": messages, "temperature": plan.get("temperature", 0.7)}
    body = orjson.dumps(asked | {"max_tokens": plan.get("pieces", 60), "stream": plan["kind"] == "stream"})
    kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%s" % (path, token, kind, body)


def picture_bytes(plan: dict[str, Any], token: bytes) -> bytes:
    """A form with the picture in *file*, sent to *path*."""
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    body = head + Path(plan["file"]).read_bytes() + b"\r\n--edge--\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: %d\r\n\r\n" % len(body)
    return b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s%s" % (plan["path"].encode(), token, kind, body)


class Asking(asyncio.Protocol):
    """A client that asks again as soon as it was answered, or *pause* seconds after, until the time is over."""

    def __init__(
        self, asked: bytes, seen: Seen, until: float, finished: asyncio.Future[None], pause: float = 0
    ) -> None:
        self._asked, self._seen, self._until, self._finished, self._pause = asked, seen, until, finished, pause
        self._arrived = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        head, found, body = self._arrived.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        now, answer, self._arrived = time.perf_counter(), self._arrived, b""
        if answer.startswith(b"HTTP/1.1 200"):
            self._seen.times.append((now - self._started) * 1000)
        else:
            self._seen.fail(answer)
        self._seen.note(self._started, now)
        if now < self._until and self._pause:
            asyncio.get_running_loop().call_later(self._pause, self._ask)
        elif now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._until:
            self._seen.fail(f"the connection was closed: {error}")
        _end(self._finished)


class Listening(asyncio.Protocol):
    """A client that reads one stream to its end and counts its pieces."""

    def __init__(self, asked: bytes, seen: Seen, pieces: int | None, finished: asyncio.Future[None]) -> None:
        self._asked, self._seen, self._pieces, self._finished = asked, seen, pieces, finished
        self._arrived: list[bytes] = []
        self._tail = b""
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._started = time.perf_counter()
        transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        self._arrived.append(data)
        if not self._heard and FRAME in data:
            self._heard = True
            self._seen.times.append((time.perf_counter() - self._started) * 1000)
        self._tail = (self._tail + data)[-7:]
        if self._tail == LAST_CHUNK or not self._arrived[0].startswith(b"HTTP/1.1 200"):
            self._judge()
            self._transport.close()

    def _judge(self) -> None:
        """Exactly the pieces that the provider sent, and the end, with no error among them."""
        self._heard = True
        self._seen.note(self._started, time.perf_counter())
        answer = b"".join(self._arrived)
        pieces = answer.count(TEXT) - 1  # The last one carries the finish reason.
        self._seen.pieces += max(0, pieces)
        whole = self._pieces is None or pieces == self._pieces
        if not (answer.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in answer and whole) or b'"error"' in answer:
            self._seen.fail(b"%d pieces; %s ... %s" % (pieces, answer[:40], answer[-200:]))
        self._arrived = []

    def connection_lost(self, error: Exception | None) -> None:
        if self._arrived or not self._heard:
            self._seen.fail(f"the connection was closed: {error}")
        _end(self._finished)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def _end(finished: asyncio.Future[None]) -> None:
    if not finished.done():
        finished.set_result(None)


async def run(plan: dict[str, Any]) -> Seen:
    """What the clients of *plan* saw; those that are not answered in time are errors."""
    loop, seen, asked = asyncio.get_running_loop(), Seen(), request_bytes(plan)
    clients = [loop.create_future() for _ in range(plan["clients"])]
    until = time.perf_counter() + plan.get("seconds", 0)

    def client(finished: asyncio.Future[None]) -> Callable[[], asyncio.Protocol]:
        if plan["kind"] == "stream":
            return lambda: Listening(asked, seen, None if plan.get("any_length") else plan["pieces"], finished)
        return lambda: Asking(asked, seen, until, finished, plan.get("pause", 0))

    dialled = (loop.create_connection(client(finished), "127.0.0.1", plan["port"]) for finished in clients)
    opened = await asyncio.gather(*dialled, return_exceptions=True)
    for finished, connection in zip(clients, opened, strict=True):
        if isinstance(connection, BaseException):
            seen.fail(repr(connection))
            _end(finished)
    _, late = await asyncio.wait(clients, timeout=plan.get("seconds", 0) + LONGEST_SECONDS)
    for _ in late:
        seen.fail("no answer in time")
    return seen


def summary(seen: Seen) -> dict[str, Any]:
    """The figures of a run."""
    seconds = max(seen.last - seen.first, 1e-9)
    times = sorted(seen.times)
    return {
        "answers": len(times),
        "answers_a_second": len(times) / seconds,
        "pieces_a_second": seen.pieces / seconds,
        "p50_ms": quantile(times, 0.50),
        "p99_ms": quantile(times, 0.99),
        "errors": seen.errors,
        "example": seen.example,
        "pieces": seen.pieces,
        "seconds": seconds,
    }


def quantile(times: list[float], share: float) -> float:
    """The time that *share* of the sorted *times* stay under; 0 where there are none."""
    return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0


if __name__ == "__main__":
    print(orjson.dumps(summary(asyncio.run(run(orjson.loads(sys.argv[1]))))).decode())
