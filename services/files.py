"""Files that the service keeps, results and uploads: named by chance, whole or not there, each somebody's.

Results lie in `data/outputs/<kind>` and are served, uploads in `data/uploads` and are not. A file is written
beside its place and moved there in one rename. Names are made here; none that a user sends becomes a path.
"""

import errno
import mimetypes
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import delete, func, select

from services.database import Database
from services.errors import NotFound, TooLarge, Unavailable
from services.settings import Settings
from services.tables.files import FileTable
from services.usage import utc_now

Kind = Literal["images", "audio", "video", "datasets", "uploads"]

NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]{2,5}")
PART = ".part-"
FORGOTTEN_SECONDS = 24 * 3600
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NAMES_A_QUESTION = 500


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that is kept, or will be when its batch ends well. Names hold 128 random bits."""

    name: str
    kind: Kind
    owner: str
    media_type: str
    path: Path
    size_bytes: int = 0
    created_at: datetime | None = None
    job_id: str | None = None

    @property
    def url(self) -> str:
        """Where a result is served; uploads are not."""
        return f"/outputs/{self.kind}/{self.name}"

    @property
    def part(self) -> Path:
        """Where it is written until it is whole."""
        return self.path.with_name(PART + self.name)


class Batch:
    """The files of one piece of work: all are kept at its end, or none."""

    def __init__(self, files: "Files", owner: str, job_id: str | None) -> None:
        self._files, self._owner, self._job_id = files, owner, job_id
        self.drafts: list[KeptFile] = []

    def draft(self, kind: Kind, suffix: str) -> KeptFile:
        """A file that is to be written to its `part`. *suffix* has its dot."""
        name = secrets.token_hex(16) + suffix
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        path = self._files.folder(kind) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = KeptFile(name, kind, self._owner, media_type, path, job_id=self._job_id)
        self.drafts.append(draft)
        return draft

    def add(self, data: bytes, kind: Kind, suffix: str) -> KeptFile:
        """A file that holds *data*."""
        draft = self.draft(kind, suffix)
        draft.part.write_bytes(data)
        return draft


class Files:
    """What is kept. Safe from many threads; *owner* None acts for an admin, who sees everybody's."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def folder(self, kind: Kind) -> Path:
        """Where files of *kind* lie."""
        return self._settings.data_dir / ("uploads" if kind == "uploads" else f"outputs/{kind}")

    @contextmanager
    def batch(self, *, owner: str, job_id: str | None = None) -> Iterator[Batch]:
        """Keep what is added inside, all at once at the end; after an error nothing of it stays.

        Raises Unavailable when the disk is full, TooLarge when *owner* has no room left.
        """
        self._check_quota(owner)
        batch = Batch(self, owner, job_id or None)
        try:
            with full_disk_told():
                yield batch
                self._keep(batch.drafts)
        except BaseException:
            for draft in batch.drafts:
                draft.part.unlink(missing_ok=True)
                draft.path.unlink(missing_ok=True)
            raise

    def keep(self, data: bytes, kind: Kind, suffix: str, *, owner: str, job_id: str | None = None) -> KeptFile:
        """One file that holds *data*."""
        with self.batch(owner=owner, job_id=job_id) as batch:
            draft = batch.add(data, kind, suffix)
        return self.find(draft.name)

    def find(self, name: str, *, owner: str | None = None) -> KeptFile:
        """The file called *name*. Raises NotFound, also for another owner's and for one that was removed."""
        row = None
        if NAME.fullmatch(name):
            with self._database.read() as session:
                row = session.get(FileTable, name)
        if row is None or owner not in (None, row.owner):
            raise _not_here(name)
        file = self._of_row(row)
        if not file.path.is_file():
            raise _not_here(name)
        return file

    def of_job(self, job_id: str) -> list[KeptFile]:
        """What the job *job_id* made, in no order."""
        with self._database.read() as session:
            rows = list(session.scalars(select(FileTable).where(FileTable.job_id == job_id)))
        return [self._of_row(row) for row in rows]

    def remove(self, name: str, *, owner: str | None = None) -> None:
        """Remove the file called *name* for good. Raises NotFound."""
        self.forget([self.find(name, owner=owner).name])

    def forget(self, names: Iterable[str]) -> None:
        """Remove those of *names* that are kept here; others are left alone."""
        wanted = [name for name in names if NAME.fullmatch(name)]
        for start in range(0, len(wanted), NAMES_A_QUESTION):
            those = FileTable.name.in_(wanted[start : start + NAMES_A_QUESTION])
            with self._database.write() as session:
                rows = list(session.scalars(delete(FileTable).where(those).returning(FileTable)))
            for row in rows:
                self._of_row(row).path.unlink(missing_ok=True)

    def prune(self, before: datetime, *, suffix: str = "") -> int:
        """Remove what was kept before *before* (UTC) under a name that ends with *suffix*; how many."""
        fits = FileTable.created_at < before, FileTable.name.endswith(suffix)
        old, removed = select(FileTable.name).where(*fits).limit(NAMES_A_QUESTION), 0
        while True:
            with self._database.read() as session:
                names = list(session.scalars(old))
            if not names:
                return removed
            self.forget(names)
            removed += len(names)

    def prune_strays(self, before: datetime) -> int:
        """Remove results of that age that have no row; how many.

        A process that dies between a file and its row leaves the file alone.
        """
        oldest, removed = before.replace(tzinfo=UTC).timestamp(), 0
        for path in (self._settings.data_dir / "outputs").glob("*/*"):
            with suppress(FileNotFoundError):
                if NAME.fullmatch(path.name) and path.stat().st_mtime < oldest and not self._has(path.name):
                    path.unlink()
                    removed += 1
        return removed

    def _has(self, name: str) -> bool:
        with self._database.read() as session:
            return session.get(FileTable, name) is not None

    def sweep(self) -> int:
        """Remove what killed processes left half-written, a day later; how many."""
        oldest, removed = time.time() - FORGOTTEN_SECONDS, 0
        for part in (self._settings.data_dir / "outputs").glob(f"*/{PART}*"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < oldest:
                    part.unlink()
                    removed += 1
        return removed

    def stored_bytes(self, *, owner: str) -> int:
        """How much the kept files of *owner* take."""
        with self._database.read() as session:
            return session.scalar(select(func.sum(FileTable.size_bytes)).where(FileTable.owner == owner)) or 0

    def _check_quota(self, owner: str) -> None:
        """Before any work is done or paid; the last work that begins within the bound may end beyond it."""
        most = self._settings.quota_mb * 2**20
        if not most:
            return
        if self.stored_bytes(owner=owner) >= most:
            raise TooLarge(
                "Your files take the {most} MiB that you may have; delete some of your history first.",
                "您的文件已达到 {most} MiB 的配额，请先删除部分历史记录。",
                details={"reason": "quota"},
                most=self._settings.quota_mb,
            )

    def _keep(self, drafts: list[KeptFile]) -> None:
        """Files first and rows after: a row never stands for a file that is not there."""
        now = utc_now()
        kept = [replace(draft, size_bytes=draft.part.stat().st_size, created_at=now) for draft in drafts]
        for draft in drafts:
            draft.part.replace(draft.path)
        with self._database.write() as session:
            session.add_all([_row_of(file) for file in kept])

    def _of_row(self, row: FileTable) -> KeptFile:
        kind: Kind = row.kind  # type: ignore[assignment]  # The column holds what `_row_of` put there.
        path = self.folder(kind) / row.name
        return KeptFile(row.name, kind, row.owner, row.media_type, path, row.size_bytes, row.created_at, row.job_id)


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Turn the OSError of a full disk into Unavailable, which says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise Unavailable(
            "The disk is full; free some room and try again.",
            "磁盘空间已满，请清理后重试。",
            details={"reason": "disk_full"},
        ) from error


def _row_of(file: KeptFile) -> FileTable:
    return FileTable(
        name=file.name,
        kind=file.kind,
        owner=file.owner,
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        created_at=file.created_at,
        job_id=file.job_id,
    )


def _not_here(name: str) -> NotFound:
    return NotFound("There is no file {name}.", "文件 {name} 不存在。", name=repr(name[:80]))
