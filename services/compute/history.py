"""Jobs as their owners see them: one, a page, and what happened."""

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, select
from sqlalchemy.orm import Session

from services.compute.rows import jobs
from services.compute.watch import State
from services.contracts.jobs import ENDED, EventsQuery, JobEventView, JobsQuery, JobsView, JobView
from services.database import Database
from services.errors import Invalid, NotFound
from services.tables.jobs import JobEventTable, JobTable

SHOWN = [
    getattr(jobs.c, name)
    for name in JobView.model_fields
    if name not in {"queue_position", "cancel_requested", "replayed"}
] + [jobs.c.cancel.label("cancel_requested"), jobs.c.number]
SHOW = select(*SHOWN).where(jobs.c.id == bindparam("wanted"))
QUEUED = and_(jobs.c.lane == bindparam("lane"), jobs.c.status == "queued")
PEERS = and_(QUEUED, jobs.c.priority == bindparam("priority"))
OWN = jobs.c.owner == bindparam("owner")
OWN_BEFORE = select(func.count()).where(PEERS, OWN, jobs.c.number < bindparam("number"))
OTHERS_BEFORE = select(func.count(), func.min(jobs.c.number)).where(PEERS, ~OWN).group_by(jobs.c.owner)
SOONER = select(func.count()).where(QUEUED, jobs.c.priority > bindparam("priority"))
STATES = select(jobs.c.id, jobs.c.revision, jobs.c.status).where(jobs.c.id.in_(bindparam("ids", expanding=True)))


class History:
    """Reads jobs. *owner* None sees everybody's; another user's job is not found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def show(self, job_id: str, owner: str | None) -> JobView:
        """One job. Raises NotFound."""
        with self._database.read() as session:
            return _view(session, _find(session, job_id, owner))

    def page(self, query: JobsQuery, owner: str | None) -> JobsView:
        """Jobs, newest first. Raises Invalid when `after` names none of them."""
        wanted: list[ColumnElement[bool]] = []
        for column, value in ((JobTable.owner, owner), (JobTable.kind, query.kind), (JobTable.status, query.status)):
            wanted += [column == value] if value is not None else []
        with self._database.read() as session:
            count = session.scalar(select(func.count()).select_from(JobTable).where(*wanted)) or 0
            if query.after is not None:
                wanted.append(JobTable.number < _number(session, query.after, owner))
            newest = select(*SHOWN).where(*wanted).order_by(JobTable.number.desc()).limit(query.limit + 1)
            rows = session.execute(newest).all()
            views = [_view(session, row) for row in rows[: query.limit]]
        return JobsView(jobs=views, count=count, next=views[-1].id if len(rows) > query.limit else None)

    def events(self, job_id: str, owner: str | None, query: EventsQuery) -> list[JobEventView]:
        """What happened after event `after`, oldest first."""
        with self._database.read() as session:
            number = _find(session, job_id, owner).number
            later = select(JobEventTable).where(JobEventTable.job == number, JobEventTable.seq > query.after)
            later = later.where(JobEventTable.type == query.type) if query.type else later
            rows = session.scalars(later.order_by(JobEventTable.seq).limit(query.limit)).all()
        return [JobEventView(id=row.seq, type=row.type, data=row.data, at=row.at) for row in rows]

    def newest_events(self, job_id: str, before: int | None, limit: int) -> list[JobEventView]:
        """What happened before event *before*, newest first."""
        with self._database.read() as session:
            number = _find(session, job_id, None).number
            wanted = select(JobEventTable).where(JobEventTable.job == number)
            wanted = wanted.where(JobEventTable.seq < before) if before is not None else wanted
            rows = session.scalars(wanted.order_by(JobEventTable.seq.desc()).limit(limit)).all()
        return [JobEventView(id=row.seq, type=row.type, data=row.data, at=row.at) for row in rows]

    def asked(self, job_id: str, owner: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a job was asked to do, as it was packed, and what it remembers. Raises NotFound."""
        with self._database.read() as session:
            number = _find(session, job_id, owner).number
            row = session.execute(select(JobTable.request, JobTable.memory).where(JobTable.number == number)).one()
        return row.request, row.memory or {}

    def revisions_of(self, kind: str, owner: str, most: int) -> dict[str, int]:
        """How often each of the newest *most* jobs of a kind has changed, the newest first."""
        own = select(jobs.c.id, jobs.c.revision).where(jobs.c.owner == owner, jobs.c.kind == kind)
        with self._database.read() as session:
            rows = session.execute(own.order_by(jobs.c.number.desc()).limit(most)).all()
        return {str(job_id): int(revision) for job_id, revision in rows}

    def counts(self, owner: str | None = None) -> dict[str, int]:
        """How many jobs there are of each status."""
        wanted = [JobTable.owner == owner] if owner is not None else []
        with self._database.read() as session:
            rows = session.execute(select(JobTable.status, func.count()).where(*wanted).group_by(JobTable.status)).all()
        return {str(status): int(count) for status, count in rows}

    def states(self, ids: list[str]) -> dict[str, State]:
        """How often each of the jobs *ids* has changed, and whether it has ended."""
        with self._database.read() as session:
            rows = session.execute(STATES, {"ids": ids}).all()
        return {str(job_id): State(int(revision), status in ENDED) for job_id, revision, status in rows}


def _find(session: Session, job_id: str, owner: str | None) -> Row[*tuple[Any, ...]]:
    row = session.execute(SHOW, {"wanted": job_id}).first()
    if row is None or owner not in (None, row.owner):
        raise NotFound("There is no job {id}.", "任务 {id} 不存在。", id=job_id[:64])
    return row


def _number(session: Session, after: str, owner: str | None) -> int:
    """Where the page before this one ended."""
    try:
        number: int = _find(session, after, owner).number
    except NotFound:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。") from None
    return number


def _view(session: Session, row: Row[*tuple[Any, ...]]) -> JobView:
    position = _position(session, row) if row.status == "queued" else None
    return JobView.model_validate(dict(row._mapping) | {"queue_position": position})


def _position(session: Session, row: Row[*tuple[Any, ...]]) -> int:
    """The row's place in its lane, as the claim serves it: priority first, then the owners in turn.

    With k jobs of its own owner before it, at most k+1 of each other owner's are served first; where that
    owner's next one is younger, k.
    """
    place = {name: getattr(row, name) for name in ("lane", "owner", "number", "priority")}
    mine = int(session.scalar(OWN_BEFORE, place) or 0)
    others = session.execute(OTHERS_BEFORE, place)
    theirs: int = sum(min(count, mine + (1 if oldest < row.number else 0)) for count, oldest in others)
    return int(session.scalar(SOONER, place) or 0) + mine + theirs + 1
