"""The bytes of a file in blocks: unpacked where it is gzip, bounded, and with a sense of how far they are."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.datasets.faults import unreadable

BLOCK_BYTES = 2**20
GZIP = b"\x1f\x8b"


class Stream:
    """*path* as blocks of bytes, each time anew. *most_bytes* bounds what a gzip may unpack to."""

    def __init__(self, path: Path, *, most_bytes: int) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self._most_bytes = most_bytes
        self._raw: IO[bytes] | None = None
        with path.open("rb") as file:
            self.is_gzip = file.read(2) == GZIP

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        if self._raw is None or self._raw.closed or not self.size_bytes:
            return 0.0
        return min(self._raw.tell() / self.size_bytes, 1.0)

    def head(self, size: int) -> bytes:
        """The first *size* bytes, or all where there are fewer."""
        found = b""
        for block in self.blocks():
            found += block
            if len(found) >= size:
                break
        return found[:size]

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """The bytes in blocks, of a plain file from byte *start*. Raises Invalid for a broken or bottomless gzip."""
        with self.path.open("rb") as raw:
            self._raw = raw
            raw.seek(start)
            yield from self._unpacked(raw) if self.is_gzip else iter(lambda: raw.read(BLOCK_BYTES), b"")

    def _unpacked(self, raw: IO[bytes]) -> Iterator[bytes]:
        unpacked = 0
        with gzip.GzipFile(fileobj=raw) as file:
            while block := _read(file):
                unpacked += len(block)
                if unpacked > self._most_bytes:
                    raise unreadable(
                        "gzip_bomb",
                        "The gzip unpacks to more than {most} MiB.",
                        "gzip 解压后超过 {most} MiB。",
                        most=self._most_bytes // 2**20,
                    )
                yield block


def _read(file: gzip.GzipFile) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise unreadable("gzip_broken", "The gzip is broken or cut short.", "gzip 文件损坏或不完整。") from error
