"""One attempt of a job, from its ticket to its outcome; the same under every runner."""

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.cancellation import Cancellation, cancellable
from services.compute import outcomes, registry
from services.compute.outcomes import Outcome
from services.compute.packing import Packer
from services.compute.progress import RunningJob
from services.compute.tickets import Ticket, Tickets
from services.errors import Cancelled, ServiceError

if TYPE_CHECKING:
    from services.assemble import Services

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Attempt:
    """A job that runs here: what the worker's pulse watches."""

    ticket: Ticket
    job: RunningJob
    switch: Cancellation
    seconds: float | None
    started: float = field(default_factory=time.monotonic)
    thrown: float | None = None
    """When its switch was thrown, by `time.monotonic()`."""
    given_up: bool = False
    """It did not hear the switch; its thread is left to itself and its row has ended without it."""

    @property
    def overdue(self) -> bool:
        return self.seconds is not None and time.monotonic() - self.started > self.seconds

    def throw(self, reason: str) -> None:
        """Ask it to end; the first reason counts."""
        self.thrown = self.thrown or time.monotonic()
        self.switch.cancel(reason)


def begin(ticket: Ticket, tickets: Tickets) -> Attempt:
    """An attempt at *ticket*'s job that has not run yet."""
    switch = Cancellation()
    seconds = registry.find(ticket.kind).seconds if ticket.kind in registry.all_functions() else None
    return Attempt(ticket, RunningJob(ticket, tickets, switch), switch, seconds)


def perform(attempt: Attempt, services: "Services", packer: Packer) -> Outcome | None:
    """Run *attempt*'s function and say how it ended; None when the job is another runner's now."""
    ticket = attempt.ticket
    try:
        with cancellable(attempt.switch):
            return Outcome(result=_call(attempt, services, packer))
    except Exception as error:
        outcome = _outcome_of(error, attempt)
        if outcome and outcome.status == "failed":
            facts = {"job": ticket.id, "kind": ticket.kind, "attempt": ticket.attempt, "request_id": ticket.request_id}
            unforeseen = None if isinstance(error, ServiceError) else error
            log.error("a job failed: %s", type(error).__name__, exc_info=unforeseen, extra=facts)
        return outcome


def _call(attempt: Attempt, services: "Services", packer: Packer) -> Any:
    """What the function returns, as JSON values."""
    function = registry.find(attempt.ticket.kind)
    request = packer.unpack(function.request, attempt.ticket.request)
    if attempt.ticket.attempt > 1 and not function.resumable:
        # An attempt that died after it kept its files, and before it could say so, must not leave them beside the new.
        services.files.forget([file.name for file in services.files.of_job(attempt.ticket.id)])
    extra = {"job": attempt.job} if function.takes_job else {}
    answer = function.call(request, services=services, **extra)
    # A cancel that came too late for the function still counts; work that is done when the runner stops is kept.
    if attempt.switch.reason == "cancelled":
        attempt.switch.check()
    return function.answer.dump_python(answer, mode="json")


def _outcome_of(error: Exception, attempt: Attempt) -> Outcome | None:
    """What follows from *error*. Whatever the work says after its switch was thrown, it ended because of that."""
    reason = attempt.switch.reason or (error.reason if isinstance(error, Cancelled) else None)
    if reason == "timed_out":
        return outcomes.timed_out(attempt.seconds or 0)
    if reason:
        return outcomes.of_cancellation(Cancelled(reason=reason))
    ticket = attempt.ticket
    told: BaseException = error
    if isinstance(error, KeyError) and ticket.kind not in registry.all_functions():
        told = _unknown(ticket.kind)
    return outcomes.failed(told, ticket.attempt, ticket.max_attempts)


def _unknown(kind: str) -> ServiceError:
    return ServiceError(
        "This service has no function {kind}; the runner may be of another version.",
        "服务中没有函数 {kind}，执行进程可能是其他版本。",
        kind=kind,
        details={"reason": "unknown_function"},
    )
