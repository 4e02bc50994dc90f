"""How an attempt ended, and what follows from it: the end of the job, or another attempt."""

import errno
import logging
import random
from dataclasses import dataclass
from typing import Any

import orjson

from services.compute import registry, wire
from services.errors import (
    Cancelled,
    ServiceError,
    TooMany,
    Unavailable,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamTimeout,
)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0
# A resumable job goes on from its checkpoint; one that takes its process down every time still ends.
RESUMES = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The end of one attempt. With *again_after_seconds* the job is queued again, else it has ended."""

    status: str = "completed"
    result: Any = None
    error: dict[str, Any] | None = None
    again_after_seconds: float | None = None
    uncounted: bool = False
    """The attempt was given up for no fault of the job's and does not count."""

    def facts(self) -> dict[str, Any]:
        """What an event says of it: nothing, or why."""
        return {"error": self.error} if self.error else {}


def failed(error: BaseException, attempt: int, max_attempts: int) -> Outcome:
    """The outcome of an attempt that raised *error*, which the log has already when it is not ours."""
    told = error if isinstance(error, ServiceError) else explain(error)
    pause = pause_seconds(told, attempt) if attempt < max_attempts and is_retriable(told) else None
    return Outcome("failed", error=pack(told), again_after_seconds=pause)


def died(kind: str, attempt: int, max_attempts: int) -> Outcome:
    """The outcome of an attempt whose process is gone."""
    try:
        resumable = registry.find(kind).resumable
    except KeyError:
        resumable = False
    again = attempt < (max(max_attempts, RESUMES) if resumable else max_attempts)
    error = Unavailable(
        "The process that ran this job died in attempt {attempt}; start it again with retry.",
        "执行该任务的进程在第 {attempt} 次尝试中退出，请重试该任务。",
        attempt=attempt,
        details={"reason": "process_died"},
    )
    return Outcome("failed", error=pack(error), again_after_seconds=0 if again else None)


def timed_out(seconds: float) -> Outcome:
    """The outcome of an attempt that did not end in its time."""
    error = Unavailable(
        "The job did not end within its limit of {seconds:g} seconds.",
        "任务未在 {seconds:g} 秒的时限内完成。",
        seconds=seconds,
        details={"reason": "timed_out"},
    )
    return Outcome("failed", error=pack(error))


def cancelled() -> Outcome:
    """The outcome of an attempt that somebody cancelled."""
    return Outcome("canceled", error=None)


def handed_back() -> Outcome:
    """The outcome of an attempt that its runner gave up because it stops."""
    return Outcome("queued", again_after_seconds=0, uncounted=True)


def is_retriable(error: ServiceError) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, UpstreamFailed):
        return error.kind == "server"
    return (
        isinstance(error, (UpstreamBusy, UpstreamTimeout, TooMany)) or error.details.get("reason") == "engine_host_gone"
    )


def pause_seconds(error: ServiceError, attempt: int) -> float:
    """How long to wait before the next attempt: what the provider said, else doubling, with jitter."""
    doubled = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    return float(min(max(asked, doubled), LONGEST_PAUSE_SECONDS))


def explain(error: BaseException) -> ServiceError:
    """What a user is told of an error that is not ours: the cause where it is known, else where to look."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return Unavailable(
            "The disk is full; free some space and retry the job.",
            "磁盘空间不足，请清理空间后重试。",
            details={"reason": "disk_full"},
        )
    # Torch's own class is not imported here; it has the name in common with others of its kind.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return out_of_memory()
    return ServiceError(
        "The job failed by a fault of the service; the log has it under the request id.",
        "任务因服务内部错误而失败，请凭请求编号查询日志。",
        details={"reason": "internal"},
    )


def out_of_memory() -> Unavailable:
    """The job wanted more memory than there is."""
    return Unavailable(
        "The job ran out of memory; use a smaller model, batch or picture, or free memory.",
        "任务内存不足，请使用更小的模型、批次或图片，或释放内存。",
        details={"reason": "out_of_memory"},
    )


def pack(error: ServiceError) -> dict[str, Any]:
    """*error* as the row keeps it."""
    packed: dict[str, Any] = orjson.loads(wire.pack_error(error))
    return packed


def of_cancellation(error: Cancelled) -> Outcome | None:
    """The outcome of an attempt whose switch was thrown; None when another runner has the job: nothing is written."""
    if error.reason == "lost":
        return None
    return handed_back() if error.reason == "restarting" else cancelled()
