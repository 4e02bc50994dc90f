"""The job table from the side of those who do the work.

Who runs a job proves it with its ticket (runner and attempt). A runner that was thought dead and comes
back finds its ticket void: `report` and `end` then change nothing and say so.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Executable, and_, or_, select, update

from services.compute.claims import claim_next
from services.compute.combine import Combiner
from services.compute.notices import Notices
from services.compute.outcomes import Outcome, died
from services.compute.rows import (
    CHANGE_HELD,
    RELEASE_HELD,
    Events,
    another_attempt,
    change,
    prune_events,
    tell,
    utc_now,
)
from services.database import Database
from services.tables.jobs import JobTable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ticket:
    """A claimed job, and the proof of it."""

    number: int
    id: str
    kind: str
    owner: str
    request_id: str
    lane: str
    attempt: int
    max_attempts: int
    request: Any
    memory: dict[str, Any] | None
    runner: str

    def proof(self) -> dict[str, Any]:
        """The parameters by which a statement knows whether this ticket is still good."""
        return {"held_number": self.number, "held_runner": self.runner, "held_attempt": self.attempt}


class Tickets:
    """Gives out tickets and takes reports. Safe from any thread, greenlet or process."""

    def __init__(self, database: Database, notices: Notices | None = None) -> None:
        self._database = database
        self._notices = notices or Notices()
        # A claim takes half a millisecond. While a lane of 16 claims, those who submit wait for SQLite's one writer.
        self._combiner = Combiner(database, most=2 if database.engine.dialect.name == "sqlite" else None)

    def claim(self, lane: str, runner: str, host: str, bound: int) -> Ticket | None:
        """The next job of *lane*, now *runner*'s; None when none is due or the lane is full on *host*."""

        def take(connection: Connection) -> Ticket | None:
            now = utc_now()
            row = claim_next(connection, lane, runner, host, bound, now)
            if row is None:
                return None
            ticket = Ticket(**row, runner=runner)
            tell(connection, ticket.number, [("status", {"status": "running", "attempt": ticket.attempt})], now)
            return ticket

        ticket = self._combiner.do(take)
        if ticket is not None:
            self._notices.publish(ticket.id, ended=False)
        return ticket

    def report(
        self,
        ticket: Ticket,
        percent: float,
        metrics: dict[str, Any],
        events: Events,
        memory: dict[str, Any] | None = None,
    ) -> bool | None:
        """Write how far the job is; whether it shall be cancelled, None when it is another runner's now.

        *memory* takes the place of what the job remembered; None leaves that as it is.
        """
        now = utc_now()
        with self._database.begin() as connection:
            values = {"progress": percent, "metrics": metrics, "updated_at": now}
            values |= {} if memory is None else {"memory": memory}
            row = connection.execute(CHANGE_HELD, ticket.proof() | values).first()
            if row is None:
                return None
            tell(connection, ticket.number, events, now)
            prune_events(connection, ticket.number)
        self._notices.publish(ticket.id, ended=False)
        return bool(row.cancel)

    def end(self, ticket: Ticket, outcome: Outcome) -> bool:
        """Write how the attempt ended; False when the job is another runner's now and nothing was written."""

        def write(connection: Connection) -> bool:
            now = utc_now()
            row = connection.execute(*_ending(ticket, outcome, now)).first()
            if row is not None:
                tell(connection, ticket.number, [("status", {"status": row.status, **outcome.facts()})], now)
            return row is not None

        if written := self._combiner.do(write):
            self._notices.publish(ticket.id, ended=outcome.again_after_seconds is None)
        return written

    def beat(self, numbers: list[int], runner: str) -> set[int]:
        """Say that *runner* still works on jobs *numbers*; which of them are still its own."""
        mine = and_(JobTable.number.in_(numbers), JobTable.runner == runner, JobTable.status == "running")
        alive = update(JobTable).where(mine).values(heartbeat=utc_now()).returning(JobTable.number)
        # With the ends of jobs in one transaction: beside them, PostgreSQL saw the two lock rows crosswise.
        return self._combiner.do(lambda connection: set(connection.scalars(alive)))

    def cancelled(self, numbers: list[int]) -> set[int]:
        """Which of the jobs *numbers* somebody wants cancelled."""
        with self._database.read() as session:
            return set(session.scalars(select(JobTable.number).where(JobTable.number.in_(numbers), JobTable.cancel)))

    def hand_back(self, runner: str) -> list[str]:
        """Queue what *runner* had not finished again, not counting the attempt; the lanes that have work now."""
        now, mine = utc_now(), and_(JobTable.runner == runner, JobTable.status == "running")
        with self._database.begin() as connection:
            again = change(mine, now, attempt=JobTable.attempt - 1, not_before=now, **another_attempt(now))
            rows = connection.execute(again).all()
            for row in rows:
                tell(connection, row.number, [("status", {"status": row.status, "reason": "restarting"})], now)
        return sorted({str(row.lane) for row in rows})

    def reap(self, silent_seconds: float, is_dead: Callable[[str], bool], spare: Iterable[int] = ()) -> set[str]:
        """End or queue again what dead runners left; the lanes that may have work now.

        Dead is who has given no sign for *silent_seconds*, or of whom *is_dead* knows. Jobs in *spare* are left alone.
        """
        lanes = set()
        for ticket in self._running_of_others(silent_seconds, is_dead, set(spare)):
            facts = {"job": ticket.id, "kind": ticket.kind, "attempt": ticket.attempt}
            log.warning("a job's process died", extra=facts)
            if self.end(ticket, died(ticket.kind, ticket.attempt, ticket.max_attempts)):
                lanes.add(ticket.lane)
        return lanes

    def _running_of_others(
        self, silent_seconds: float, is_dead: Callable[[str], bool], spare: set[int]
    ) -> Iterable[Ticket]:
        """Tickets of jobs whose runner is dead."""
        long_ago = utc_now() - timedelta(seconds=silent_seconds)
        silent = or_(JobTable.heartbeat.is_(None), JobTable.heartbeat < long_ago)
        columns = [getattr(JobTable, field.name) for field in fields(Ticket)]
        running = select(*columns, silent.label("silent")).where(JobTable.status == "running")
        with self._database.read() as session:
            rows = [dict(row) for row in session.execute(running).mappings()]
        dead = [row.pop("silent") or is_dead(row["runner"]) for row in rows]
        return [Ticket(**row) for row, gone in zip(rows, dead, strict=True) if gone and row["number"] not in spare]


def _ending(ticket: Ticket, outcome: Outcome, now: datetime) -> tuple[Executable, dict[str, Any]]:
    """What writes *outcome*: the job has ended, or is queued for another attempt."""
    values = ticket.proof() | {"updated_at": now, "error": outcome.error}
    if outcome.again_after_seconds is not None:
        later = now + timedelta(seconds=outcome.again_after_seconds)
        return RELEASE_HELD, values | {"not_before": later, "uncounted": int(outcome.uncounted), "now": now}
    values |= {"status": outcome.status, "result": outcome.result, "finished_at": now}
    return CHANGE_HELD, values | ({"progress": 100.0} if outcome.status == "completed" else {})
