"""Where rows begin in a file that somebody sent, noted while it is read, so that a page far back is read from near it.

A row can be found again where the bytes before it need not be read: by its line, where line ends are a byte of their
own, and in an array of JSON by its byte. What is packed or in UTF-16 is read from its beginning each time.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Any

from services.datasets.encodings import BYTE_ORDER_MARK
from services.datasets.faults import Fault, Record
from services.datasets.reading import FileKind, Source
from services.datasets.streams import BLOCK_BYTES

STEP = 1000
MOST_FILES = 256


def rows_beyond(source: Source, after: int) -> Iterator[dict[str, Any]]:
    """The good rows of *source* but for the first *after*."""
    if not _can_begin_inside(source):
        return islice((row for _, row in source.rows() if not isinstance(row, Fault)), after, None)
    told = source.path.stat()
    return _places(source.path, told.st_mtime_ns, told.st_size, source.nature.kind).rows_beyond(source, after)


def _can_begin_inside(source: Source) -> bool:
    kind, encoding = source.nature.kind, source.nature.encoding
    whole = encoding == "utf-8" or (encoding == "gb18030" and kind != "json")
    return whole and kind != "zip" and not source.is_packed


@lru_cache(MOST_FILES)
def _places(_path: Path, _changed: int, _size_bytes: int, kind: FileKind) -> "_Places":
    """What this process knows of a file, for as long as it stays the same."""
    return _Places(kind)


class _Places:
    """Places of every STEP-th good row of one file: lines or, in an array, bytes before it. Safe from many threads."""

    def __init__(self, kind: FileKind) -> None:
        self._kind = kind
        self._marks = [0]
        self._lines_before = [0]  # Each block of the file.
        self._header_lines = 0
        self._offset = 0
        self._lock = Lock()

    def rows_beyond(self, source: Source, after: int) -> Iterator[dict[str, Any]]:
        """As the function of this name; what is read on the way is noted."""
        nearest = min(after // STEP, len(self._marks) - 1)
        count = nearest * STEP
        for place, row in self._from(source, self._marks[nearest]):
            if isinstance(row, Fault):
                continue
            if count % STEP == 0:
                self._note(count, place)
            count += 1
            if count > after:
                yield row

    def _note(self, count: int, place: int) -> None:
        with self._lock:
            if count == len(self._marks) * STEP and self._offset >= 0:
                self._marks.append(place)

    def _from(self, source: Source, place: int) -> Iterator[Record]:
        """The rows from *place*, each with its own."""
        if not place:
            return self._from_beginning(source)
        if self._kind == "json":
            read = source.rows_of(chain([b"["], source.blocks(place)), by_byte=True)
            return ((place + number - 1, row) for number, row in read)
        block = bisect_left(self._lines_before, place) - 1
        rest = without_lines(self._counted(source, block), place - self._lines_before[block])
        # Without a header no bytes stand before the rest: a byte order mark is taken from the first block alone.
        read = source.rows_of(chain([_first_lines(source.path, self._header_lines)], rest))
        return ((place + number - 1 - self._header_lines, row) for number, row in read)

    def _from_beginning(self, source: Source) -> Iterator[Record]:
        by_byte = self._kind == "json"
        for number, row in source.rows_of(self._counted(source, 0), by_byte=by_byte):
            if self._kind == "csv" and not self._header_lines:
                self._header_lines = number - 1
            yield (number + self._offset if by_byte else number - 1), row

    def _counted(self, source: Source, first: int) -> Iterator[bytes]:
        """The blocks from the *first* on; how many lines stand before each is noted."""
        for number, block in enumerate(source.blocks(first * BLOCK_BYTES), first):
            if number == 0:
                self._offset = self._offset_of(block)
            with self._lock:
                if number + 1 == len(self._lines_before):
                    self._lines_before.append(self._lines_before[-1] + block.count(b"\n"))
            yield block

    def _offset_of(self, block: bytes) -> int:
        """How far the text begins inside of the file; -1 where lines end as on an old Mac, which nobody counts here."""
        if self._kind == "csv" and b"\r" in block and b"\n" not in block:
            return -1
        return len(BYTE_ORDER_MARK) if block.startswith(BYTE_ORDER_MARK) else 0


def _first_lines(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return b"".join(islice(file, count))


def without_lines(blocks: Iterable[bytes], lines: int) -> Iterator[bytes]:
    """*blocks* but for their first *lines* lines."""
    for block in blocks:
        if not lines:
            yield block
        elif (here := block.count(b"\n")) < lines:
            lines -= here
        else:
            yield block.split(b"\n", lines)[lines]
            lines = 0
