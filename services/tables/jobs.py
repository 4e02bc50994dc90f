"""Jobs and what happened to them; every change of a job is one conditional statement in `compute/queue.py`."""

from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.database import Base

# Metrics come from training loops, which hand over numpy's numbers as they are.
OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class Packed(TypeDecorator[Any]):
    """JSON as text, by orjson: the same bytes on every database, and NaN (a diverged loss) becomes null."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value, default=str, option=OPTIONS).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class JobTable(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index("ix_jobs_owner_number", "owner", "number"),
        Index("ix_jobs_lane_owner_started_at", "lane", "owner", "started_at"),
        Index("ix_jobs_status_heartbeat", "status", "heartbeat"),
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    """The order of arrival; `id` is what users see."""
    id: Mapped[str] = mapped_column(String(36), unique=True)
    kind: Mapped[str] = mapped_column(String(100))
    """The registered function, `module.function`."""
    owner: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(80), default="")
    lane: Mapped[str] = mapped_column(String(8))
    priority: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(10), default="queued")
    request: Mapped[Any] = mapped_column(Packed)
    result: Mapped[Any] = mapped_column(Packed, default=None, nullable=True)
    error: Mapped[Any] = mapped_column(Packed, default=None, nullable=True)
    """As `compute/wire.py` packs errors; of a queued job, why its last attempt ended."""
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    """0 to 100."""
    metrics: Mapped[Any] = mapped_column(Packed, default=dict)
    memory: Mapped[Any] = mapped_column(Packed, default=None, nullable=True)
    """What `Job.once` keeps from one attempt to the next, by name."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Counts claims. With `runner` it fences: whoever was thought dead can no longer write."""
    max_attempts: Mapped[int] = mapped_column(default=1)
    cancel: Mapped[bool] = mapped_column(Boolean, default=False)
    runner: Mapped[str] = mapped_column(String(160), default="")
    host: Mapped[str] = mapped_column(String(100), default="")
    idempotency_key: Mapped[str | None] = mapped_column(String(255), default=None)
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    """SHA-256 of what was asked for, to tell a replay from another request under the same key."""
    revision: Mapped[int] = mapped_column(default=0)
    """Grows with every change that a watcher wants to hear of."""
    not_before: Mapped[datetime | None] = mapped_column(DateTime, default=None)
    heartbeat: Mapped[datetime | None] = mapped_column(DateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(DateTime)
    updated_at: Mapped[datetime] = mapped_column(DateTime)
    started_at: Mapped[datetime | None] = mapped_column(DateTime, default=None)
    finished_at: Mapped[datetime | None] = mapped_column(DateTime, default=None)


# The order in which a lane is served; the claim walks it without sorting.
Index("ix_jobs_queue", JobTable.lane, JobTable.status, JobTable.owner, JobTable.priority.desc(), JobTable.number)


class JobEventTable(Base):
    __tablename__ = "job_events"
    __table_args__ = (Index("ix_job_events_job_seq", "job", "seq"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    """The SSE event id; never used twice."""
    job: Mapped[int] = mapped_column(ForeignKey("jobs.number", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(10))
    """`status`, `progress`, `log` or `artifact`."""
    data: Mapped[Any] = mapped_column(Packed)
    at: Mapped[datetime] = mapped_column(DateTime)
