"""Which files users keep here, and what became of them: a kept upload, or a data set."""

import secrets
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, or_, select, true

from services.contracts.user_files import FileStatus, NewFile, UserFile, UserFilesQuery
from services.database import Database
from services.errors import Invalid, NotFound
from services.tables.datasets import DatasetTable
from services.tables.files import FileTable
from services.tables.jobs import JobTable
from services.tables.user_files import UserFileTable
from services.usage import utc_now

FILE, DATASET, KEPT, JOB = UserFileTable, DatasetTable, FileTable, JobTable
FOUND = (
    select(FILE, DATASET.id, KEPT.name, JOB.status, JOB.error)
    .outerjoin(DATASET, and_(DATASET.job_id == FILE.job_id, DATASET.version > 0))
    .outerjoin(KEPT, KEPT.name == FILE.kept)
    .outerjoin(JOB, JOB.id == FILE.job_id)
)
# What an operator's KEEP_DAYS, or its owner at another door, removed is gone here too.
THERE = or_(
    DATASET.id.is_not(None), KEPT.name.is_not(None), JOB.status.in_(["queued", "running", "failed", "canceled"])
)


class UserFileStore:
    """Files of all owners. *owner* None acts for an admin, who sees everybody's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: NewFile, *, owner: str) -> UserFile:
        """List a file that is kept, or that a job makes a data set of."""
        row = UserFileTable(id=f"file-{secrets.token_hex(12)}", owner=owner, created_at=utc_now(), **new.model_dump())
        with self._database.write() as session:
            session.add(row)
        return self.find(row.id, owner=owner)

    def find(self, file_id: str, *, owner: str | None, field: str = "file_id") -> UserFile:
        """The file *file_id*. Raises NotFound, also for another's and for one that has expired."""
        found = self._first(FOUND.where(FILE.id == file_id, _seen_by(owner), _fresh(), THERE))
        if found is None:
            raise NotFound(
                "There is no file {id}; GET /v1/files lists yours.",
                "文件 {id} 不存在，可通过 GET /v1/files 查看。",
                details={"field": field, "reason": "file_not_found"},
                id=repr(file_id[:80]),
            )
        return found

    def of_job(self, job_id: str) -> UserFile | None:
        """The file that the job *job_id* makes a data set of."""
        return self._first(FOUND.where(FILE.job_id == job_id))

    def of_dataset(self, dataset_id: str) -> UserFile | None:
        """The file that became the data set *dataset_id*."""
        return self._first(FOUND.where(DATASET.id == dataset_id))

    def page(self, query: UserFilesQuery, *, owner: str | None) -> tuple[list[UserFile], bool]:
        """A page of files, and whether more follow. Raises Invalid when `after` names none of them."""
        seen = [_seen_by(owner), _fresh(), THERE]
        seen += [FILE.purpose == query.purpose] if query.purpose else []
        newest = query.order == "desc"
        wanted = FOUND.where(*seen)
        with self._database.read() as session:
            if query.after is not None:
                last = session.scalar(select(FILE).where(FILE.id == query.after, _seen_by(owner)))
                if last is None:
                    raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
                wanted = wanted.where(_beyond(last, newest=newest))
            order = (FILE.created_at.desc(), FILE.id.desc()) if newest else (FILE.created_at, FILE.id)
            rows = [_view(row) for row in session.execute(wanted.order_by(*order).limit(query.limit + 1))]
        return rows[: query.limit], len(rows) > query.limit

    def forget(self, file_id: str) -> None:
        """List *file_id* no longer; what holds it is not touched."""
        with self._database.write() as session:
            session.execute(delete(UserFileTable).where(UserFileTable.id == file_id))

    def expired(self) -> list[UserFile]:
        """Files whose time is over."""
        with self._database.read() as session:
            return [_view(row) for row in session.execute(FOUND.where(FILE.expires_at <= utc_now()))]

    def _first(self, wanted: Select[Any]) -> UserFile | None:
        with self._database.read() as session:
            row = session.execute(wanted).first()
            return _view(row) if row else None


def _view(row: Row[*tuple[Any, ...]]) -> UserFile:
    file: UserFileTable = row[0]
    dataset_id, job_status, error = row[1], row[3], row[4]
    same = ("id", "owner", "filename", "purpose", "media_type", "size_bytes", "kept", "job_id")
    times = ("created_at", "expires_at")
    status = _status(file, dataset_id, job_status)
    return UserFile(
        **{name: getattr(file, name) for name in (*same, *times)},
        status=status,
        error=error if status == "error" else None,
        dataset_id=dataset_id,
    )


def _status(file: UserFileTable, dataset_id: str | None, job_status: str | None) -> FileStatus:
    if file.job_id is None or dataset_id:
        return "processed"
    return "uploaded" if job_status in {"queued", "running"} else "error"


def _beyond(last: UserFileTable, *, newest: bool) -> ColumnElement[bool]:
    """What comes after *last*."""
    same = FILE.created_at == last.created_at
    if newest:
        return or_(FILE.created_at < last.created_at, and_(same, FILE.id < last.id))
    return or_(FILE.created_at > last.created_at, and_(same, FILE.id > last.id))


def _seen_by(owner: str | None) -> ColumnElement[bool]:
    return true() if owner is None else FILE.owner == owner


def _fresh() -> ColumnElement[bool]:
    return or_(FILE.expires_at.is_(None), FILE.expires_at > utc_now())
