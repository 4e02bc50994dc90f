"""Server-sent events as the four vendors frame them, and the same frames spoiled on purpose."""

import json
import zlib
from collections.abc import Iterator
from typing import Any

from tests.fakes.connection import Piece


def compact(payload: Any) -> str:
    """JSON in one line, characters as they are (U+2028 too)."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def data_frame(payload: Any) -> str:
    """`data: {...}`, as OpenAI and Ark send it."""
    return f"data: {compact(payload)}\n\n"


def named_frame(payload: dict[str, Any]) -> str:
    """`event:` and `data:`, the event named after the payload's type (Anthropic, image events)."""
    return f"event: {payload['type']}\n{data_frame(payload)}"


def dashscope_frame(number: int, payload: Any, event: str = "result", status: int = 200) -> str:
    """DashScope's frame: no space after a colon, and the status in a comment."""
    return f"id:{number}\nevent:{event}\n:HTTP_STATUS/{status}\ndata:{compact(payload)}\n\n"


def reframed(pieces: Iterator[Piece], behaviour: str, comment: str = ": keep-alive\n\n") -> Iterator[Piece]:
    """The same frames with CRLF, without blank lines, between comments or byte by byte, by behaviour."""
    for piece in pieces:
        if not isinstance(piece, str):
            yield piece
        elif behaviour == "crlf":
            yield piece.replace("\n", "\r\n")
        elif behaviour == "no-blank":
            yield piece.removesuffix("\n")
        elif behaviour == "comments":
            yield comment
            yield piece
        elif behaviour == "bytes":
            yield from (bytes([byte]) for byte in piece.replace("\n", "\r\n").encode())
        else:
            yield piece
    if behaviour == "no-blank":
        yield "\n"


def gzipped(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces as one gzip stream, flushed after each."""
    compress = zlib.compressobj(wbits=31)
    for piece in pieces:
        if isinstance(piece, str):
            yield compress.compress(piece.encode()) + compress.flush(zlib.Z_SYNC_FLUSH)
        else:
            yield piece
    yield compress.flush()
