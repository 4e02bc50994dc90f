"""The claim: which job is next, chosen and taken in one statement on SQLite and PostgreSQL alike.

Priority goes first. Among equals the owner with the fewest running jobs in the lane is served, then the
one who was served longest ago, then the oldest job; so one user's thousand jobs do not keep another's
first one waiting. The owners are found by a loose index scan (each step of the recursion is one look
into the index), so the cost grows with the number of waiting owners, not of waiting jobs.

The statement also counts what the lane runs on this host, which bounds it over all processes. Under
PostgreSQL two claims could count at the same time; there a lane's claims take turns by an advisory
lock, where SQLite has its one writer. SKIP LOCKED would be no help: it skips the very job that is next.
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, DateTime, bindparam, text

from services.tables.jobs import JobTable

CLAIM = text("""
WITH RECURSIVE waiting(owner) AS (
    SELECT min(owner) FROM jobs WHERE lane = :lane AND status = 'queued'
    UNION ALL
    SELECT (SELECT min(owner) FROM jobs WHERE lane = :lane AND status = 'queued' AND owner > waiting.owner)
    FROM waiting WHERE waiting.owner IS NOT NULL
), heads AS (
    SELECT owner, (
        SELECT number FROM jobs
        WHERE lane = :lane AND status = 'queued' AND owner = waiting.owner
          AND (not_before IS NULL OR not_before <= :now)
        ORDER BY priority DESC, number LIMIT 1
    ) AS number
    FROM waiting WHERE owner IS NOT NULL
)
UPDATE jobs SET status = 'running', runner = :runner, host = :host, attempt = attempt + 1, not_before = NULL,
    heartbeat = :now, started_at = :now, updated_at = :now, revision = revision + 1
WHERE status = 'queued'
  AND (SELECT count(*) FROM jobs WHERE lane = :lane AND status = 'running' AND host = :host) < :bound
  AND number = (
    SELECT head.number FROM heads JOIN jobs AS head ON head.number = heads.number
    ORDER BY head.priority DESC,
        (SELECT count(*) FROM jobs WHERE lane = :lane AND status = 'running' AND owner = heads.owner),
        (SELECT max(started_at) FROM jobs WHERE lane = :lane AND owner = heads.owner) NULLS FIRST,
        head.number
    LIMIT 1
)
RETURNING number, id, kind, owner, request_id, lane, attempt, max_attempts, request, memory
""").bindparams(bindparam("now", type_=DateTime)).columns(
    JobTable.number, JobTable.id, JobTable.kind, JobTable.owner, JobTable.request_id, JobTable.lane,
    JobTable.attempt, JobTable.max_attempts, JobTable.request, JobTable.memory,
)  # fmt: skip
TAKE_TURNS = text("SELECT pg_advisory_xact_lock(:lane)")


def claim_next(
    connection: Connection, lane: str, runner: str, host: str, bound: int, now: datetime
) -> Mapping[str, Any] | None:
    """The next job of *lane*, taken for *runner*; None when none is due or *bound* run on *host* already."""
    if connection.dialect.name == "postgresql":
        connection.execute(TAKE_TURNS, {"lane": zlib.crc32(f"jobs:{lane}".encode())})
    values = {"lane": lane, "runner": runner, "host": host, "bound": bound, "now": now}
    return cast(Mapping[str, Any] | None, connection.execute(CLAIM, values).mappings().first())
