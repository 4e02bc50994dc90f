"""What is written of a data set: JSONL for each part and a card beside them, whole or not at all.

Everything goes into a folder beside its place, which one rename then puts there; who reads never sees a half.
"""

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from services.files import PART, full_disk_told

CARD = "dataset.json"
PARTS = ("train", "validation", "test")
BLOCK_BYTES = 2**20


@contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """An empty folder inside *folder* for what is being made; gone afterwards unless it was renamed.

    Raises Unavailable when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{PART}{secrets.token_hex(8)}"
    path.mkdir()
    try:
        with full_disk_told():
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Put *card* into *folder* in one rename."""
    part = folder / f"{PART}{secrets.token_hex(8)}"
    try:
        part.write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        part.replace(folder / CARD)
    finally:
        part.unlink(missing_ok=True)


@dataclass(slots=True)
class Sizes:
    """Lengths of rows: how many, the least, the most and the sum."""

    rows: int = 0
    low: int = 0
    high: int = 0
    total: int = 0

    def add(self, size: int) -> None:
        """Count one row of *size*."""
        self.low = min(self.low, size) if self.rows else size
        self.high = max(self.high, size)
        self.rows += 1
        self.total += size

    def told(self) -> dict[str, Any]:
        """As cards and statistics say it."""
        mean = round(self.total / self.rows, 1) if self.rows else 0
        return {"min": self.low, "mean": mean, "max": self.high, "total": self.total}


@dataclass(slots=True)
class RowsFile:
    """A JSONL file that is being written, hashed on the way. It is there once a row is."""

    path: Path
    sizes: Sizes = field(default_factory=Sizes)
    size_bytes: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _waiting: list[bytes] = field(default_factory=list)
    _waiting_bytes: int = 0

    def add(self, data: bytes, size: int) -> None:
        """Append the row *data*, which is *size* long in the unit that is counted."""
        self.sizes.add(size)
        self._waiting += (data, b"\n")
        self._waiting_bytes += len(data) + 1
        if self._waiting_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        block = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        if block:
            with self.path.open("ab") as file:
                file.write(block)
            self._hash.update(block)
            self.size_bytes += len(block)

    def told(self, unit: str) -> dict[str, Any]:
        """What the card says of the file; its sizes are in *unit*."""
        facts = {
            "file": self.path.name,
            "rows": self.sizes.rows,
            "bytes": self.size_bytes,
            "sha256": self._hash.hexdigest(),
        }
        return {**facts, unit: self.sizes.told()}
