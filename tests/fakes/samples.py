"""The texts, pictures, sounds and films that every fake answers with."""

import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

PIECES = ("你好", "，世界", "😀", "\u2028", "second line, and the end.")
TEXT = "".join(PIECES)
REASONING_PIECES = ("先想", " about it")
REASONING = "".join(REASONING_PIECES)
VECTOR = [0.25, -0.5, 1.0]
TRANSCRIPT = "欢迎使用"


class ToolCall(NamedTuple):
    """A call that the model makes; `arguments` is JSON text, as on the wire."""

    id: str
    name: str
    arguments: str


def tool_calls(names: list[str], parallel: bool) -> list[ToolCall]:
    """The calls a model makes of the offered tools: one, or two where it calls in parallel."""
    first = ToolCall("call_1a", names[0], '{"city": "杭州"}')
    second = ToolCall("call_2b", names[-1], '{"city": "Berlin", "days": 2}')
    return [first, second] if parallel else [first]


def halves(text: str) -> tuple[str, str]:
    """The text in two pieces."""
    return text[: len(text) // 2], text[len(text) // 2 :]


@lru_cache(maxsize=16)
def png(width: int = 64, height: int = 64, prompt: str = "") -> bytes:
    """A real RGB picture of this size, in a colour that comes from the prompt."""
    colour = struct.pack(">I", zlib.crc32(prompt.encode()))[:3]
    row = b"\0" + colour * width
    compress = zlib.compressobj(6)
    pixels = b"".join(compress.compress(row) for _ in range(height)) + compress.flush()
    return _png_of(width, height, pixels)


def huge_png() -> bytes:
    """A picture that says it is 30000 x 30000 and holds 3 KB."""
    return _png_of(30000, 30000, zlib.compress(bytes(2_000_000)))


def _png_of(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", pixels) + _png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def mp4() -> bytes:
    """The opening of an MP4 file and some bytes after it: known by its type, not playable."""
    brands = b"isom" + struct.pack(">I", 512) + b"isomiso2avc1mp41"
    return _mp4_box(b"ftyp", brands) + _mp4_box(b"mdat", bytes(range(256)) * 8)


def _mp4_box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def pcm(milliseconds: int = 50) -> bytes:
    """16-bit mono sound at 24 kHz."""
    return struct.pack("<h", 512) * (24 * milliseconds)


def wav(milliseconds: int = 50) -> bytes:
    """The same sound as a WAV file."""
    sound = pcm(milliseconds)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16)
    data = struct.pack("<4sI", b"data", len(sound)) + sound
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data
