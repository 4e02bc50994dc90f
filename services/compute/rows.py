"""The few statements of which every change of a job's row is made: each counts the revision and tells an event."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, case, delete, insert, null, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from services.tables.jobs import JobEventTable, JobTable

KEPT_EVENTS = {"progress": 1000, "log": 10_000}
PRUNE_EVERY = 200

Events = Iterable[tuple[str, dict[str, Any]]]


def utc_now() -> datetime:
    """The time in UTC, without a zone, as tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def change(where: ColumnElement[bool], now: datetime, **values: Any) -> ReturningUpdate[int, str, str, bool]:
    """An update of the jobs *where*, returning their number, lane, status and cancel flag."""
    changed = update(JobTable).where(where).values(updated_at=now, revision=JobTable.revision + 1, **values)
    return changed.returning(JobTable.number, JobTable.lane, JobTable.status, JobTable.cancel)


def another_attempt(now: datetime) -> dict[str, Any]:
    """Queued again, unless somebody wanted the job to end while it ran."""
    return {
        "status": case((JobTable.cancel, "canceled"), else_="queued"),
        "finished_at": case((JobTable.cancel, now), else_=null()),
        "runner": "",
    }


def tell(session: Session, number: int, events: Events, now: datetime) -> None:
    """Write down what happened to job *number*."""
    for kind, data in events:
        session.execute(insert(JobEventTable).values(job=number, type=kind, data=data, at=now))


def prune_events(session: Session, number: int) -> None:
    """Now and then, keep only the newest events of a job: a week of training would write millions."""
    if random.random() > 1 / PRUNE_EVERY:
        return
    for kind, kept in KEPT_EVENTS.items():
        of_kind = (JobEventTable.job == number, JobEventTable.type == kind)
        newest = select(JobEventTable.seq).where(*of_kind).order_by(JobEventTable.seq.desc()).offset(kept).limit(1)
        session.execute(delete(JobEventTable).where(*of_kind, JobEventTable.seq <= newest.scalar_subquery()))
