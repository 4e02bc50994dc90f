"""Where a file that is sent lands: a small one in memory, others on disk, bounded and hashed as they arrive."""

import hashlib
import io
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from services import filetypes
from services.errors import TooLarge, Unavailable
from services.files import PART, full_disk_told

# As Werkzeug has it. To write such a file and read it again takes as long as half of what else a picture waits for.
SMALL_BYTES = 500_000


class Landing:
    """Where one sent file lands: readable like a file, and gone after the request unless `keep` was called.

    A file on disk is open only while it is written or read: a form may hold a thousand of them.
    """

    def __init__(
        self, folder: Path, most_bytes: int, *, skip_rest: bool = False, may_stay_in_memory: bool = False
    ) -> None:
        self.size_bytes = 0
        self.head = b""
        self.too_large = False
        self.most_bytes = most_bytes
        self._path = folder / f"{PART}{secrets.token_hex(16)}"
        self._skip_rest = skip_rest
        self._hash = hashlib.sha256()
        self._kept = False
        self._memory = io.BytesIO() if may_stay_in_memory else None
        self._file: IO[bytes] | None = None if may_stay_in_memory else _create(self._path)

    @property
    def path(self) -> Path:
        """The file, which is on disk from now on. Raises Unavailable when the disk is full."""
        self._settle()
        self._close_file()
        return self._path

    @property
    def small(self) -> bytes:
        """What has landed, where that is in memory; else nothing."""
        return self._memory.getvalue() if self._memory else b""

    @property
    def sha256(self) -> str:
        return (hashlib.sha256(self._memory.getbuffer()) if self._memory else self._hash).hexdigest()

    @property
    def media_type(self) -> str:
        """What the bytes are, as `services/filetypes.py` reads them."""
        return filetypes.media_type(self.head)

    def write(self, data: bytes) -> int:
        """Take the next bytes. Raises TooLarge, unless the rest of a file that is too large is to be skipped."""
        self.size_bytes += len(data)
        self.too_large = self.size_bytes > self.most_bytes
        if self.too_large:
            if not self._skip_rest:
                raise too_large(self.most_bytes)
            return len(data)
        self.head += data[: filetypes.HEAD_BYTES - len(self.head)]
        if self._memory and self.size_bytes <= SMALL_BYTES:
            return self._memory.write(data)
        self._settle()
        return self._write(data)

    def read(self, size: int = -1) -> bytes:
        return self._open("rb").read(size)

    def readline(self, size: int = -1) -> bytes:
        return self._open("rb").readline(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._open("rb"))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to *offset*. Werkzeug seeks to the start when a file is whole, and so closes one on disk."""
        if offset == 0 and whence == 0 and not self._memory:
            self._close_file()
            return 0
        return self._open("rb").seek(offset, whence)

    def tell(self) -> int:
        open_now = self._memory or self._file
        return open_now.tell() if open_now else 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def keep(self, target: Path) -> Path:
        """Move the file to *target*, on the same disk, so that it appears there whole; returns *target*."""
        path = self.path
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        self._path, self._kept = target, True
        return target

    def close(self) -> None:
        """Close the file, and remove it unless it was kept."""
        # What could not be written to a full disk cannot be written now either.
        with suppress(OSError, Unavailable):
            self._close_file()
        if not self._kept and not self._memory:
            self._path.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Move what is in memory to the disk."""
        memory, self._memory = self._memory, None
        if memory:
            self._file = _create(self._path)
            self._write(memory.getvalue())

    def _write(self, data: bytes) -> int:
        self._hash.update(data)
        with full_disk_told():
            return self._open("ab").write(data)

    def _open(self, mode: str) -> IO[bytes]:
        if self._memory:
            return self._memory
        writes = mode == "ab"
        if self._file is None or self._file.writable() != writes:
            self._close_file()
            self._file = self._path.open(mode)
        assert self._file is not None
        return self._file

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file:
            with full_disk_told():
                file.close()


def _create(path: Path) -> IO[bytes]:
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def too_large(most: int) -> TooLarge:
    """The error for a file over *most* bytes."""
    return TooLarge(
        "The file is larger than {most} MiB, which is the most that this route takes.",
        "文件超过此接口允许的最大大小 {most} MiB。",
        most=most // 2**20,
    )
