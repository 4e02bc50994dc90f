"""Reading a data set's file as it stands: what it is, in which encoding, and its rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services import filetypes
from services.datasets import csv_rows, encodings, json_rows, zip_rows
from services.datasets.encodings import Encoding
from services.datasets.faults import Record, unreadable
from services.datasets.streams import Stream
from services.errors import UnsupportedMedia
from services.settings import Settings

FileKind = Literal["json", "jsonl", "csv", "zip"]

# Text packs to a tenth and less; what unpacks to more than this much is no data set.
UNPACKED = 10
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may unpack to, in all and in one picture."""

    unpacked_bytes: int
    picture_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits that *settings* set."""
        return cls(UNPACKED * settings.max_dataset_mb * 2**20, settings.max_upload_mb * 2**20)


@dataclass(frozen=True, slots=True)
class Nature:
    """What a file is: its kind and its text's encoding, both found from its bytes."""

    kind: FileKind
    encoding: Encoding = "utf-8"


class Source:
    """The file at *path*; *nature* where it is known already."""

    def __init__(self, path: Path, limits: Limits, nature: Nature | None = None) -> None:
        self.path = path
        self._limits = limits
        self._stream = Stream(path, most_bytes=limits.unpacked_bytes)
        self.nature = nature or self._detect()

    @property
    def fraction(self) -> float:
        """How much has been read of a text, 0 to 1."""
        return self._stream.fraction

    def rows(self) -> Iterator[Record]:
        """The rows and what is wrong with bad ones, from the beginning each time. Raises Invalid where it breaks."""
        if self.nature.kind == "zip":
            return zip_rows.rows(self.path, self.bounds)
        return self.rows_of(self._stream.blocks())

    def rows_of(self, blocks: Iterable[bytes], *, by_byte: bool = False) -> Iterator[Record]:
        """The rows of *blocks*, a text that begins as the file does; *by_byte* for `json_rows.elements`."""
        kind, encoding = self.nature.kind, self.nature.encoding
        if kind == "csv":
            return csv_rows.rows(encodings.decoded(blocks, encoding))
        text = encodings.as_utf_8(blocks, encoding)
        return json_rows.elements(text, by_byte=by_byte) if kind == "json" else json_rows.lines(text)

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """The bytes of the file, unpacked and otherwise as they stand; those of a plain one from byte *start*."""
        return self._stream.blocks(start)

    @property
    def is_packed(self) -> bool:
        """Whether the file is gzip."""
        return self._stream.is_gzip

    @property
    def bounds(self) -> zip_rows.Bounds:
        """How much an archive may hold."""
        return zip_rows.Bounds(self._limits.unpacked_bytes, self._limits.picture_bytes)

    def _detect(self) -> Nature:
        head = self._stream.head(HEAD_BYTES)
        found = filetypes.media_type(head[: filetypes.HEAD_BYTES])
        if found == "application/zip":
            return Nature("zip")
        if not head:
            raise unreadable("required", "The file is empty.", "文件为空。")
        encoding = encodings.detect(self._stream.blocks())
        if found not in (filetypes.TEXT, filetypes.UNKNOWN):
            raise _no_data_set(found)
        text = "".join(encodings.decoded([head], encoding)).lstrip()
        if not text:
            raise unreadable("no_rows", "The file holds white space alone.", "文件只有空白字符。")
        if found == filetypes.UNKNOWN and encoding == "utf-8" and _is_binary(head):
            raise _no_data_set(found)
        return Nature({"[": "json", "{": "jsonl"}.get(text[0], "csv"), encoding)  # type: ignore[arg-type]


def _is_binary(head: bytes) -> bool:
    """Whether *head* is no text with a few stray bytes in it."""
    stray = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    return stray > len(head) * 0.05


def _no_data_set(found: str) -> UnsupportedMedia:
    return UnsupportedMedia(
        "The file's bytes are {found}; a data set is JSON, JSONL, CSV, gzip of these, or a zip of pictures.",
        "文件内容为 {found}；数据集须为 JSON、JSONL、CSV（可用 gzip 压缩）或图片 zip。",
        details={"field": "file", "reason": "media_type"},
        found=found,
    )
