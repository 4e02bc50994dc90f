"""What the service shows of a job, and what may be asked of the list of jobs."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from services.contracts.numbers import FromZero
from services.contracts.times import UtcTime

JobStatus = Literal["queued", "running", "completed", "failed", "canceled"]
EventType = Literal["status", "progress", "log", "artifact"]
ENDED: frozenset[str] = frozenset({"completed", "failed", "canceled"})


class JobView(BaseModel):
    """One job. Times are UTC; `error` is packed as `compute/wire.py` does until a blueprint words it."""

    id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    kind: str = Field(examples=["images.generate"])
    owner: str
    lane: str = Field(examples=["gpu"])
    priority: int = 0
    status: JobStatus
    progress: float = Field(0, examples=[45.5], description="0 to 100")
    queue_position: int | None = Field(None, examples=[1], description="1 is next; null when not queued")
    attempt: int = Field(0, examples=[1])
    max_attempts: int = 1
    cancel_requested: bool = False
    metrics: dict[str, Any] = {}
    error: dict[str, Any] | None = None
    result: Any = None
    request_id: str = ""
    created_at: UtcTime
    updated_at: UtcTime
    started_at: UtcTime | None = None
    finished_at: UtcTime | None = None
    revision: int = Field(0, exclude=True)
    replayed: bool = Field(False, exclude=True, description="An earlier submission under the same idempotency key")

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more, unless somebody asks for a retry."""
        return self.status in ENDED


class JobsQuery(BaseModel):
    """Which jobs to list, newest first."""

    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, description="Id of the last job of the page before")
    kind: str | None = None
    status: JobStatus | None = None


class JobsView(BaseModel):
    """One page of jobs; `count` is how many there are in all."""

    jobs: list[JobView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class EventsQuery(BaseModel):
    """Which events of a job to read, oldest first."""

    after: FromZero = Field(0, description="Id of the last event that is known")
    type: EventType | None = None
    limit: int = Field(500, ge=1, le=500)


class JobEventView(BaseModel):
    """One thing that happened to a job. *id* grows and never repeats."""

    id: int
    type: EventType
    data: dict[str, Any]
    at: UtcTime
