"""The statements of which changes of a job's row are made: each counts the revision, and tells an event.

They are built once: building one costs SQLAlchemy five times as much as sending it.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from services.tables.jobs import JobEventTable, JobTable

KEPT_EVENTS = {"progress": 1000, "log": 10_000}
PRUNE_EVERY = 200

Events = Iterable[tuple[str, dict[str, Any]]]

jobs, events = cast(Table, JobTable.__table__), cast(Table, JobEventTable.__table__)
INSERT_JOB = insert(jobs).inline()
INSERT_EVENT = insert(events).inline()
# Parameters named like columns are set; `held_…` are the proof of a ticket.
HELD = and_(
    jobs.c.number == bindparam("held_number"),
    jobs.c.runner == bindparam("held_runner"),
    jobs.c.attempt == bindparam("held_attempt"),
    jobs.c.status == "running",
)
COUNTED = {"revision": jobs.c.revision + 1}
TOLD = (jobs.c.number, jobs.c.lane, jobs.c.status, jobs.c.cancel)
CHANGE_HELD = update(jobs).where(HELD).values(COUNTED).returning(*TOLD)
RELEASE_HELD = (
    update(jobs)
    .where(HELD)
    .values(
        COUNTED
        | {
            "status": case((jobs.c.cancel, "canceled"), else_="queued"),
            "finished_at": case((jobs.c.cancel, bindparam("now", type_=jobs.c.finished_at.type)), else_=null()),
            "attempt": jobs.c.attempt - bindparam("uncounted"),
            "runner": "",
        }
    )
    .returning(*TOLD)
)


def _told_of(queued: Select[int, datetime]) -> Insert:
    """What inserts the first event of each of the jobs *queued*, of which it gets number and time."""
    rows = queued.add_columns(literal("status"), literal({"status": "queued"}, events.c.data.type))
    return insert(events).from_select(["job", "at", "type", "data"], rows)


INSERT_QUEUED = _told_of(select(jobs.c.number, jobs.c.created_at).where(jobs.c.id == bindparam("wanted")))


@cache
def insert_told(columns: tuple[str, ...]) -> Insert:
    """What inserts a job with values for *columns*, and its first event, in one statement; PostgreSQL alone can."""
    values = {name: bindparam(name, type_=jobs.c[name].type) for name in columns}
    job = insert(jobs).values(values).returning(jobs.c.number, jobs.c.created_at).cte()
    return _told_of(select(job.c.number, job.c.created_at))


def utc_now() -> datetime:
    """The time in UTC, without a zone, as tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def change(where: ColumnElement[bool], now: datetime, **values: Any) -> ReturningUpdate[*tuple[Any, ...]]:
    """An update of the jobs *where*, returning their number, lane, status and cancel flag."""
    return update(jobs).where(where).values(COUNTED | {"updated_at": now} | values).returning(*TOLD)


def another_attempt(now: datetime) -> dict[str, Any]:
    """Queued again, unless somebody wanted the job to end while it ran."""
    return {
        "status": case((jobs.c.cancel, "canceled"), else_="queued"),
        "finished_at": case((jobs.c.cancel, now), else_=null()),
        "runner": "",
    }


def tell(connection: Connection, number: int, told: Events, now: datetime) -> None:
    """Write down what happened to job *number*."""
    rows = [{"job": number, "type": kind, "data": data, "at": now} for kind, data in told]
    if rows:
        connection.execute(INSERT_EVENT, rows)


def prune_events(connection: Connection, number: int) -> None:
    """Now and then, keep only the newest events of a job: a week of training would write millions."""
    if random.random() > 1 / PRUNE_EVERY:
        return
    for kind, kept in KEPT_EVENTS.items():
        of_kind = (events.c.job == number, events.c.type == kind)
        newest = select(events.c.seq).where(*of_kind).order_by(events.c.seq.desc()).offset(kept).limit(1)
        connection.execute(delete(events).where(*of_kind, events.c.seq <= newest.scalar_subquery()))
