"""What a PNG tells of how it was made: the parameters, in its metadata, where other programs read them too."""

import struct
import zlib
from pathlib import Path
from typing import Any

import orjson

PNG_MARK = b"\x89PNG\r\n\x1a\n"
PNG_HEAD_END = 33
KEYWORD = b"parameters"
LONGEST_NOTE = 2**20


def with_parameters(data: bytes, parameters: dict[str, Any]) -> bytes:
    """The PNG file *data* with *parameters* in its metadata: the iTXt chunk `parameters`, in JSON.

    No pixel is touched. Source: PNG specification, third edition, 11.3.3.4.
    """
    body = b"iTXt" + KEYWORD + b"\0\0\0\0\0" + orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:PNG_HEAD_END] + chunk + data[PNG_HEAD_END:]


def parameters(source: bytes | Path) -> dict[str, Any] | None:
    """What `with_parameters` put into a PNG file; None where nothing is, and for what is no PNG."""
    data = source.read_bytes() if isinstance(source, Path) else source
    wanted = KEYWORD + b"\0\0\0\0\0"
    at = len(PNG_MARK) if data.startswith(PNG_MARK) else len(data)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + min(length, LONGEST_NOTE)]
        if kind == b"iTXt" and body.startswith(wanted):
            return _note(body[len(wanted) :])
        if kind == b"IDAT":
            return None
        at += 12 + length
    return None


def _note(text: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
