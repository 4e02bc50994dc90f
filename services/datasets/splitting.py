"""Rows in a seeded order, and where that order is cut; any number of rows in the same little memory.

Each row has a key of 16 bytes, a hash of the seed and of what the row is ordered by. Rows wait in memory while
they are few; else each goes to one of 64 files by the first bits of its key, and a file that is still too much
is parted again by the next bits. Reading the files one after another, each sorted, is the whole order. Rows
with equal keys keep the order in which they came, so a key of content finds doubles, and one of a group's
name keeps the group together.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

KEY_BYTES = 16
KEY_BITS = KEY_BYTES * 8
FAN_BITS = 6
FAN = 64
# What Python adds to a row of bytes: the tuple, two objects and a place in a list.
ROW_BYTES = 200
MEMORY_BYTES = 8 * 2**20
WRITE_BYTES = 64 * 1024
HEAD = struct.Struct(f"<{KEY_BYTES}sI")

Keyed = tuple[bytes, bytes]


def keys(seed: int) -> Callable[[bytes], bytes]:
    """What makes the key of some bytes under *seed*."""
    salt = hashlib.blake2b(b"%d" % seed, digest_size=16).digest()
    blake = hashlib.blake2b

    def key(data: bytes) -> bytes:
        return blake(data, digest_size=KEY_BYTES, key=salt).digest()

    return key


def counts(rows: int, ratios: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many of *rows* each part gets; together they are all of them."""
    first = round(rows * ratios[0])
    second = max(round(rows * (ratios[0] + ratios[1])), first)
    return first, second - first, rows - second


def parts(
    ordered: Iterable[Keyed], rows: int, ratios: tuple[float, float, float], *, together: bool
) -> Iterator[tuple[int, bytes]]:
    """Each row with the number of its part, 0 to 2. With *together*, equal keys are never parted: the cut waits."""
    train, validation, _ = counts(rows, ratios)
    cuts = (train, train + validation)
    part, last = 0, b""
    for place, (key, data) in enumerate(ordered):
        if not (together and key == last):
            part = (place >= cuts[0]) + (place >= cuts[1])
        last = key
        yield part, data


def distinct(ordered: Iterable[Keyed]) -> Iterator[Keyed]:
    """The first row of each key."""
    last = b""
    for key, data in ordered:
        if key != last:
            yield key, data
        last = key


class Order:
    """Rows that are added in any order and come back in that of their keys; *folder* takes what memory does not."""

    def __init__(self, folder: Path, *, name: str = "order", memory_bytes: int = MEMORY_BYTES, level: int = 0) -> None:
        self._folder = folder
        self._name = name
        self._memory_bytes = memory_bytes
        self._level = level
        self._waiting: list[Keyed] = []
        self._bytes = 0
        self._files: list[_Bucket] | None = None
        self.rows = 0

    def add(self, key: bytes, data: bytes) -> None:
        """Take a row."""
        self.rows += 1
        if self._files is not None:
            self._files[self._bucket(key)].add(key, data)
            return
        self._waiting.append((key, data))
        self._bytes += len(data) + ROW_BYTES
        if self._bytes > self._memory_bytes and self._shift() >= 0:
            self._spill()

    def __iter__(self) -> Iterator[Keyed]:
        """The rows in order, once."""
        if self._files is None:
            self._waiting.sort(key=lambda row: row[0])
            yield from self._waiting
            return
        for bucket in self._files:
            yield from self._sorted(bucket)
            bucket.remove()

    def close(self) -> None:
        """Remove what lies in files."""
        for bucket in self._files or ():
            bucket.remove()
        self._files, self._waiting = [], []

    def _sorted(self, bucket: "_Bucket") -> Iterator[Keyed]:
        bucket.flush()
        if bucket.same_key:
            yield from bucket.read()
            return
        inner = Order(self._folder, name=self._name, memory_bytes=self._memory_bytes, level=self._level + 1)
        try:
            for key, data in bucket.read():
                inner.add(key, data)
            bucket.remove()
            yield from inner
        finally:
            inner.close()

    def _spill(self) -> None:
        self._files = [_Bucket(self._folder / f"{self._name}-{self._level}-{number}") for number in range(FAN)]
        for key, data in self._waiting:
            self._files[self._bucket(key)].add(key, data)
        self._waiting = []

    def _shift(self) -> int:
        return KEY_BITS - FAN_BITS * (self._level + 1)

    def _bucket(self, key: bytes) -> int:
        number = int.from_bytes(key, "big")
        return (number >> self._shift()) % FAN


class _Bucket:
    """A file of rows in the order in which they came; nothing is written before there is enough of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._first: bytes | None = None
        self.same_key = True

    def add(self, key: bytes, data: bytes) -> None:
        if self._first is None:
            self._first = key
        elif key != self._first:
            self.same_key = False
        self._waiting += (HEAD.pack(key, len(data)), data)
        self._bytes += len(data) + HEAD.size
        if self._bytes >= WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            with self._path.open("ab") as file:
                file.write(b"".join(self._waiting))
        self._waiting, self._bytes = [], 0

    def read(self) -> Iterator[Keyed]:
        if self._first is None:
            return
        with self._path.open("rb", buffering=WRITE_BYTES) as file:
            while head := file.read(HEAD.size):
                key, size = HEAD.unpack(head)
                yield key, file.read(size)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._waiting = []
