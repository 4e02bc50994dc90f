"""The texts, pictures, sounds and films that every fake answers with."""

import base64
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


@lru_cache(maxsize=1)
def mp4() -> bytes:
    """A film of one second that plays: H.264, 32 x 32, 8 frames."""
    return zlib.decompress(base64.b64decode(_FILM))


def pcm(milliseconds: int = 50) -> bytes:
    """16-bit mono sound at 24 kHz."""
    return struct.pack("<h", 512) * (24 * milliseconds)


def wav(milliseconds: int = 50) -> bytes:
    """The same sound as a WAV file."""
    sound = pcm(milliseconds)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16)
    data = struct.pack("<4sI", b"data", len(sound)) + sound
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data


_FILM = """
eNp9VU2IHEUUrpld4yQoLHHFEVYoNSpCZqa754d1pGWHJXEEBS8JImJT3VU93Uz/TVXN3yKY4CHrISCCRvawAfGgYDQ3wR+CsJIIGsjNBC+5SBZB
D17iIY6vemacyZqkpqrr/XzvvXqvXvcghLArh4kv4hChLFI7LIP0HD1MKjpCKOdyxhBaaISUSMB8vO++0Wj71yO73/12tfnVh4d/wVef/OPPgVGr
4AJ2Ys6wXqsC2SyCqPTKq0deLFRw4/g66ChzQLEeJ8OAuRIbmlYuGJqh0J6USb1U6vf7xZ5PWRyQqBjzVkn5LXoyDAATJ9KPI1HHDrGJY+qYM9fU
a5gyO4idtqnX4YdJRIKhYKY2KNe1gV4u45CZ3dDDomsDpWs4EUMwhqfFqakVK1pdK2oaDv0Bo1bqE0wsTqIWM40Kdjweh8RStlhyFgS+MA28Olil
jgSR0wlNDc5A6EYcgYF+WNexS4S0EtH2E4UYO+gkVuy6gkmzYGDpcbAQoA3iuE08YKyZTAS+w2YCDUc8jeH4IZHqHH4kGQ8IgEBuB11OhpYThwmR
wDtQJMmJH4ELAHKiMC4nIRMqfdtKhsD4FLKwLUJJIlPK9okKRX3OILEy7jO/5UkbosUJi6xWnIB2LEzAoM2G4Nw0qtqEtEI/MlexcFjEnK40KxpO
o6uSciY8sOaO9V+6Zk3xpsNdHNpQV5UWMGBW1HBHJQN3A5hOovymOxmYteeAEJIlZgX7CVwStISpwx1i0oEGUBboBHTtw2zzJFrcffufM5dZ/8BP
ovrawYcunlSKxlbu581r1q3reLR17K/cW0+88MPZT0Gxv7G91Fo6VzqvUPsz2/mnN7+2dk5MmKObR898M9Wcbl6zvp8y55oTzUpjK79bzWavGB8t
nS79+N6pvy+8efCLb599/oNnln+HF2gjjOMe4IKw51F021i4ka4MUnM2Mrej9vJr6J4jC/MTqH8b6DdkO4258H9vKva949wxLp4shA4xKoXKnwVC
ziyU36WJbXYlpD5RFiHdm/tauo7tpEzBowGfatSHYB55XH0YmiSiAVOYzEVoDBeI5V6YOp0/5iE61q1Q6L65NB7o8gCP6cwpIe0A6C+FFHQOc1Z9
/e5SCpU0Rk3Ym3dF7B350QieVfC6nqHowOg6eqQF++d88SVvTd0JPBYXdt4l+Qy637ux/s77l87funlTmS7DmzGp6aOXpu6ETOs9DZ5LJ2AhjXm5
WmvODLtvLFua6Fcne37SK9OeyaE53Ar4dPb4zE32Cug25tIEefaCOiisB++w8PiMTjznT4Nld6lUvfF6yNJdjcfn+wB6h5MkCeZrWvDHzfbUZzJW
Dh+DPycyvY2XSc+tGUUdpmb8C5H8iTA=
"""
