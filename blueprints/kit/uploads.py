"""Uploads: each file lands on disk as it arrives, hashed on the way, and goes again unless it is kept.

A route says by `mark(upload=…)` what it takes: `picture` (one picture or sound), `pictures` (many of
them, each bounded by itself) or `dataset`. Werkzeug would write to the system's folder for temporary
files first, and a file kept would be copied from there.
"""

import hashlib
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, request
from werkzeug.datastructures import FileStorage

from blueprints.kit.context import me, services
from blueprints.kit.marks import Marks, marks
from services import filetypes
from services.errors import Malformed, TooLarge, Unavailable, UnsupportedMedia
from services.files import FORGOTTEN_SECONDS, PART, full_disk_told
from services.settings import Settings


class Landing:
    """Where one sent file lands: readable like a file, and gone after the request unless `keep` was called.

    The file is open only while it is written or read: a form may hold a thousand of them.
    """

    def __init__(self, folder: Path, most_bytes: int, *, skip_rest: bool = False) -> None:
        self.path = folder / f"{PART}{secrets.token_hex(16)}"
        self.size_bytes = 0
        self.head = b""
        self.too_large = False
        self.most_bytes = most_bytes
        self._skip_rest = skip_rest
        self._hash = hashlib.sha256()
        self._kept = False
        self._file: IO[bytes] | None = _create(self.path)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

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
        self._hash.update(data)
        self.head += data[: filetypes.HEAD_BYTES - len(self.head)]
        with full_disk_told():
            return self._open("ab").write(data)

    def read(self, size: int = -1) -> bytes:
        return self._open("rb").read(size)

    def readline(self, size: int = -1) -> bytes:
        return self._open("rb").readline(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._open("rb"))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to *offset*. Werkzeug seeks to the start when a file is whole, and so closes it."""
        if offset == 0 and whence == 0:
            self._close_file()
            return 0
        return self._open("rb").seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell() if self._file else 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def keep(self, target: Path) -> Path:
        """Move the file to *target*, on the same disk, so that it appears there whole; returns *target*."""
        self._close_file()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)
        self.path, self._kept = target, True
        return target

    def close(self) -> None:
        """Close the file, and remove it unless it was kept."""
        # What could not be written to a full disk cannot be written now either.
        with suppress(OSError, Unavailable):
            self._close_file()
        if not self._kept:
            self.path.unlink(missing_ok=True)

    def _open(self, mode: str) -> IO[bytes]:
        writes = mode == "ab"
        if self._file is None or self._file.writable() != writes:
            self._close_file()
            self._file = self.path.open(mode)
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


class LandingRequest(Request):
    """A request whose files land in `data/uploads`, bounded by what its route takes."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> Any:
        settings, wanted = services().settings, marks()
        landing = Landing(uploads_dir(settings), most_bytes(settings, wanted), skip_rest=wanted.upload == "pictures")
        self.landings.append(landing)
        return landing

    @cached_property
    def landings(self) -> list[Landing]:
        """Every file of this request, in the order in which they came."""
        return []


def receive_uploads(app: Flask) -> None:
    """Let files of *app*'s requests land on disk; register after authentication and limits."""
    app.request_class = LandingRequest
    app.before_request(bound_body)
    app.teardown_request(drop_landings)


def bound_body() -> None:
    """Refuse a body that is larger than its route takes, before it is read where its length is told.

    Beside its files a form holds fields, which are bounded as JSON is.
    """
    settings, wanted = services().settings, marks()
    longest = settings.max_json_mb * 2**20
    if request.mimetype == "multipart/form-data" and wanted.upload:
        longest += settings.max_dataset_mb * 2**20 if wanted.upload == "pictures" else most_bytes(settings, wanted)
    request.max_content_length = longest


def drop_landings(_error: BaseException | None = None) -> None:
    """Remove what was sent and not kept; also after a stall, an abort and a refusal."""
    for landing in getattr(request, "landings", ()):
        landing.close()


def most_bytes(settings: Settings, wanted: Marks) -> int:
    """How large one file may be; a route that takes no files takes small ones, which nobody reads."""
    return {
        "picture": settings.max_upload_mb,
        "pictures": settings.max_upload_mb,
        "dataset": settings.max_dataset_mb,
        None: settings.max_json_mb,
    }[wanted.upload] * 2**20


def landed(file: FileStorage) -> Landing:
    """Where *file* of this request landed."""
    assert isinstance(file.stream, Landing), "only files of the present request land"
    return file.stream


def take(file: FileStorage, kinds: Collection[str] = ()) -> Landing:
    """Where *file* landed, when it is whole, not empty, and its bytes are of one of *kinds*.

    A kind is a media type or its first half: `image/png`, `audio`. No kinds take all.
    Raises TooLarge, Malformed or UnsupportedMedia.
    """
    landing = landed(file)
    if landing.too_large:
        raise too_large(landing.most_bytes)
    if not landing.size_bytes:
        raise Malformed(
            "The file is empty.", "文件为空。", details={"field": file.name or "file", "reason": "required"}
        )
    found = landing.media_type
    if kinds and not {found, found.partition("/")[0]} & set(kinds):
        raise UnsupportedMedia(
            "The file's bytes are {found}; this route takes {kinds}.",
            "文件内容为 {found}，此接口仅接受 {kinds}。",
            found=found,
            kinds=", ".join(sorted(kinds)),
        )
    return landing


def keep_upload(landing: Landing, suffix: str) -> str:
    """Keep what landed as an upload of the caller's; its name. Raises TooLarge when the caller has no room left."""
    with services().files.batch(owner=me().id) as batch:
        draft = batch.draft("uploads", suffix)
        landing.keep(draft.part)
    return draft.name


def uploads_dir(settings: Settings) -> Path:
    """The folder of uploads, kept ones and those that arrive."""
    return settings.data_dir / "uploads"


def sweep_uploads(settings: Settings) -> int:
    """Remove what a process that was killed left of its uploads, a day later; how many."""
    removed = 0
    oldest = time.time() - FORGOTTEN_SECONDS
    for part in uploads_dir(settings).glob(f"{PART}*"):
        with suppress(FileNotFoundError):
            if part.stat().st_mtime < oldest:
                part.unlink()
                removed += 1
    return removed


def too_large(most: int) -> TooLarge:
    """The error for a file over *most* bytes."""
    return TooLarge(
        "The file is larger than {most} MiB, which is the most that this route takes.",
        "文件超过此接口允许的最大大小 {most} MiB。",
        most=most // 2**20,
    )
