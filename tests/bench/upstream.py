"""A fast provider in OpenAI's form: answers at once, and streams as many pieces as `max_tokens` says.

    python -m tests.bench.upstream PORT PIECES_A_SECOND

All running streams share the pace, each piece is one write: what reaches a proxy is cut as a real
provider cuts it. Raw asyncio, since a server of comfort would be slower than what it is to measure.
"""

import asyncio
import sys
import time
from collections import deque

import orjson

CREATED = 1790000000
WORDS = "Paris is the capital of France, and it lies on the Seine."
# After a pause in which others had the processor, the missed pieces are not sent all at once.
MOST_MISSED_SECONDS = 0.02


def chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    """One piece of a streamed answer, as one HTTP chunk."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return http_chunk({**HEAD, "object": "chat.completion.chunk", "choices": [choice]})


def http_chunk(payload: object) -> bytes:
    frame = b"data: " + orjson.dumps(payload) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(frame), frame)


HEAD = {
    "id": "chatcmpl-0123456789abcdefghijklmnopqrs",
    "created": CREATED,
    "model": "gpt-bench",
    "system_fingerprint": "fp",
}
USAGE = {"prompt_tokens": 12, "completion_tokens": 14, "total_tokens": 26}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = chunk({"content": " Seine"})
END = chunk({}, "stop")
COUNTED = http_chunk({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def whole_answer() -> bytes:
    """The answer of a call that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}
    body = orjson.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


WHOLE = whole_answer()


class Provider(asyncio.Protocol):
    """One connection, kept alive: a request is answered as soon as its body is whole."""

    def __init__(self, streams: "Streams") -> None:
        self._streams = streams
        self._arrived = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        head, found, body = self._arrived.partition(b"\r\n\r\n")
        if not found or len(body) < content_length(head):
            return
        self._arrived = b""
        asked = orjson.loads(body)
        if not asked.get("stream"):
            self._transport.write(WHOLE)
            return
        counted = COUNTED if (asked.get("stream_options") or {}).get("include_usage") else b""
        self._transport.write(STREAM_HEAD + PIECE)
        self._streams.add(self._transport, asked["max_tokens"] - 1, END + counted + DONE)


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


class Streams:
    """The running streams; each in turn gets its next piece, so many a second over all of them."""

    def __init__(self, pieces_a_second: float) -> None:
        self._rate = pieces_a_second
        self._waiting: deque[tuple[asyncio.Transport, int, bytes]] = deque()
        self._some = asyncio.Event()

    def add(self, transport: asyncio.Transport, pieces: int, end: bytes) -> None:
        """Send *pieces* more to *transport*, then *end*."""
        self._waiting.append((transport, pieces, end))
        self._some.set()

    async def run(self) -> None:
        """Send for ever."""
        due, last = 0.0, time.perf_counter()
        while True:
            if not self._waiting:
                self._some.clear()
                await self._some.wait()
                last = time.perf_counter()
            now = time.perf_counter()
            due = min(due + (now - last) * self._rate, self._rate * MOST_MISSED_SECONDS)
            last = now
            while due >= 1 and self._waiting:
                due -= 1
                self._send_one()
            await asyncio.sleep(0.001)

    def _send_one(self) -> None:
        transport, pieces, end = self._waiting.popleft()
        if transport.is_closing():
            return
        if pieces <= 0:
            transport.write(end)
            return
        transport.write(PIECE)
        self._waiting.append((transport, pieces - 1, end))


async def serve(port: int, pieces_a_second: float) -> None:
    streams = Streams(pieces_a_second)
    server = await asyncio.get_running_loop().create_server(lambda: Provider(streams), "127.0.0.1", port, backlog=2048)
    async with server:
        await streams.run()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
