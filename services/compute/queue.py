"""The job table as a queue, from the side of those who ask for work; `tickets.py` is the side of those who do it.

Every change is one conditional statement, so that no two processes agree by accident.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from services.compute import registry
from services.compute.combine import Combiner
from services.compute.rows import INSERT_JOB, INSERT_QUEUED, change, insert_told, tell, utc_now
from services.database import Database
from services.tables.jobs import JobTable

IDEMPOTENCY_HOURS = 24
LANES = ("gpu", "cpu", "io")
MOST_DUE = 10
# A removal in small steps lets others write between them.
PRUNED_AT_ONCE = 500


class Queue:
    """Adds jobs, ends them before their time, and knows what waits. Safe from any thread, greenlet or process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._combiner = Combiner(database)

    def add(self, row: dict[str, Any]) -> tuple[str, bool]:
        """Store a queued job; its id, and whether it is an earlier one under the same idempotency key."""
        owner, key, now = row["owner"], row["idempotency_key"], row["created_at"]
        if key is None:
            self._combiner.add(_insert, row)
            return row["id"], False
        try:
            with self._database.begin() as connection:
                _forget_key(connection, owner, key, now)
                _insert(connection, [row])
        except IntegrityError:
            earlier = self._find_key(owner, key)
            if earlier is None:
                raise
            return earlier, True
        return row["id"], False

    def cancel(self, job_id: str) -> bool:
        """End a queued job at once, ask a running one to end; whether a runner has to hear of it."""
        now, this = utc_now(), JobTable.id == job_id
        with self._database.begin() as connection:
            queued = and_(this, JobTable.status == "queued")
            ended = connection.execute(change(queued, now, status="canceled", cancel=True, finished_at=now)).first()
            if ended is not None:
                tell(connection, ended.number, [("status", {"status": "canceled"})], now)
                return False
            running = and_(this, JobTable.status == "running")
            return connection.execute(change(running, now, cancel=True)).first() is not None

    def retry(self, job_id: str) -> str | None:
        """Queue a failed or canceled job again, with as many attempts as at first; its lane, None if it is neither."""
        now, ended = utc_now(), and_(JobTable.id == job_id, JobTable.status.in_(["failed", "canceled"]))
        fresh: dict[str, Any] = {"error": None, "result": None, "progress": 0.0, "metrics": {}, "cancel": False}
        fresh["memory"] = None
        with self._database.begin() as connection:
            kind = connection.scalar(select(JobTable.kind).where(ended))
            fresh["max_attempts"] = JobTable.attempt + (registry.find(kind).attempts if kind else 1)
            again = change(ended, now, status="queued", not_before=None, finished_at=None, **fresh)
            row = connection.execute(again).first()
            if row is None:
                return None
            tell(connection, row.number, [("status", {"status": "queued"})], now)
            return str(row.lane)

    def due(self, waiting_seconds: float = 0) -> dict[str, int]:
        """How many jobs of each lane could run now, at most MOST_DUE a lane.

        Those that nobody knocks for (their next attempt is due) count at once, others after *waiting_seconds*.
        """
        now = utc_now()
        patient = JobTable.updated_at <= now - timedelta(seconds=waiting_seconds)
        ready = or_(JobTable.not_before <= now, and_(JobTable.not_before.is_(None), patient))
        found: dict[str, int] = {}
        with self._database.read() as session:
            for lane in LANES:
                queued = select(JobTable.number).where(JobTable.lane == lane, JobTable.status == "queued")
                numbers = session.scalars(queued.where(ready).limit(MOST_DUE)).all()
                found |= {lane: len(numbers)} if numbers else {}
        return found

    def any_queued(self, lane: str) -> bool:
        """Whether *lane* has a queued job."""
        with self._database.read() as session:
            return bool(session.scalar(select(exists().where(JobTable.lane == lane, JobTable.status == "queued"))))

    def seconds_to_next(self) -> float | None:
        """How long until the next attempt of a job is due; None when none waits for its time."""
        with self._database.read() as session:
            soonest = session.scalar(select(func.min(JobTable.not_before)).where(JobTable.status == "queued"))
        return None if soonest is None else max(0.0, (soonest - utc_now()).total_seconds())

    def fingerprint(self, job_id: str) -> str | None:
        """The digest of what job *job_id* was asked to do."""
        with self._database.read() as session:
            return session.scalar(select(JobTable.fingerprint).where(JobTable.id == job_id))

    def prune(self, before: datetime) -> int:
        """Remove jobs that ended before *before*, with their events; how many."""
        old = and_(JobTable.status.in_(["completed", "failed", "canceled"]), JobTable.finished_at < before)
        some = select(JobTable.number).where(old).limit(PRUNED_AT_ONCE).scalar_subquery()
        removed = 0
        while True:
            with self._database.begin() as connection:
                gone = len(
                    connection.scalars(
                        delete(JobTable).where(JobTable.number.in_(some)).returning(JobTable.number)
                    ).all()
                )
            removed += gone
            if gone < PRUNED_AT_ONCE:
                return removed

    def oldest_unfinished(self) -> datetime | None:
        """When the oldest job that has not ended was asked for; None where all have."""
        waits = JobTable.status.in_(["queued", "running"])
        with self._database.read() as session:
            return session.scalar(select(func.min(JobTable.created_at)).where(waits))

    def find_recent(self, owner: str, key: str) -> str | None:
        """The job that *owner* submitted under *key* within 24 hours."""
        return self._find_key(owner, key, JobTable.created_at >= utc_now() - timedelta(hours=IDEMPOTENCY_HOURS))

    def _find_key(self, owner: str, key: str, *more: ColumnElement[bool]) -> str | None:
        used = (JobTable.owner == owner, JobTable.idempotency_key == key, *more)
        with self._database.read() as session:
            return session.scalar(select(JobTable.id).where(*used))


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(insert_told(tuple(rows[0])), rows)
        return
    connection.execute(INSERT_JOB, rows)
    connection.execute(INSERT_QUEUED, [{"wanted": row["id"]} for row in rows])


def _forget_key(connection: Connection, owner: str, key: str, now: datetime) -> None:
    """A key is good for a day; after that it may be used for another job."""
    used = and_(JobTable.owner == owner, JobTable.idempotency_key == key)
    old = and_(used, JobTable.created_at < now - timedelta(hours=IDEMPOTENCY_HOURS))
    connection.execute(update(JobTable).where(old).values(idempotency_key=None))
