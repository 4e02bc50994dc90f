"""Zips that are written while they are sent: no file on the disk, and no more in memory than a block."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK_BYTES = 2**18
# Zips keep the time of each member; a fixed one makes the same files the same bytes.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def stream_zip(members: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """A zip of *members*, each a name and the file behind it, in blocks.

    Nothing is compressed: weights and pictures hardly shrink, and the processor serves others meanwhile.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, path in members:
            with (
                path.open("rb") as source,
                archive.open(zipfile.ZipInfo(name, LONG_AGO), "w", force_zip64=True) as kept,
            ):
                while block := source.read(BLOCK_BYTES):
                    kept.write(block)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where the archive is written to and taken from; it cannot go back."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._waiting.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        data, self._waiting = b"".join(self._waiting), []
        return data
