"""Uploads: each file lands as it arrives, hashed on the way, and goes again unless it is kept.

A route says by `mark(upload=…)` what it takes: `picture` (one picture or sound), `pictures` (many of
them, each bounded by itself) or `dataset`. Werkzeug would write to the system's folder for temporary
files first, and a file kept would be copied from there.
"""

import time
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask, Request, request
from werkzeug.datastructures import FileStorage

from blueprints.kit.context import me, services
from blueprints.kit.landing import Landing, too_large
from blueprints.kit.marks import Marks, marks
from services.errors import Malformed, UnsupportedMedia
from services.files import FORGOTTEN_SECONDS, PART
from services.settings import Settings


class LandingRequest(Request):
    """A request whose files land in memory or in `data/uploads`, bounded by what its route takes."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> Any:
        settings, wanted = services().settings, marks()
        landing = Landing(
            uploads_dir(settings),
            most_bytes(settings, wanted),
            skip_rest=wanted.upload == "pictures",
            # One a request, so that forms of many files take no memory.
            may_stay_in_memory=wanted.upload == "picture" and not self.landings,
        )
        self.landings.append(landing)
        return landing

    @cached_property
    def landings(self) -> list[Landing]:
        """Every file of this request, in the order in which they came."""
        return []


def receive_uploads(app: Flask) -> None:
    """Let files of *app*'s requests land; register after authentication and limits."""
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
