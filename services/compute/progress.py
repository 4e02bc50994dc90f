"""What a domain function sees of its job: where it says how far it is, and hears that it shall end."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from services.cancellation import Cancellation

if TYPE_CHECKING:
    from services.compute.tickets import Ticket, Tickets

THROTTLE_SECONDS = 0.2
LONGEST_LINE = 4000
# What is kept of the newest lines while the database is away.
MOST_WAITING = 10_000

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class Job:
    """A job that nobody watches; the base of those that somebody does.

    Functions take `job: Job = SILENT`, so that they can be called directly. Its methods may be called
    from any thread.
    """

    id: str = ""
    owner: str = ""
    request_id: str = ""
    attempt: int = 1

    def progress(self, fraction: float, **metrics: Any) -> None:
        """Say that *fraction* (0 to 1) is done, with *metrics* such as `loss=0.3`. Raises Cancelled."""

    def log(self, line: str) -> None:
        """Keep *line* for whoever follows the job."""

    def artifact(self, name: str, **facts: Any) -> None:
        """Tell of a file that is finished while the job goes on: *facts* such as `url` and `step`."""

    def check(self) -> None:
        """Raise Cancelled when the job shall end; for loops that have no progress to tell."""

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        """What *make* gives when *name* is first asked for, and the same in every later attempt of the job.

        For what must not be done twice because a process died, such as a task that a vendor is paid for. It is
        kept when this returns; JSON values alone. Started again by its owner, a job remembers nothing.
        """
        return make()

    def forget(self, name: str) -> None:
        """Let `once` make *name* anew."""

    def keep(self, name: str, value: Any) -> None:
        """Let `once` give *value* for *name* from now on; JSON values alone, and not many times a second."""

    @property
    def cancelled(self) -> bool:
        """Whether the job shall end."""
        return False


SILENT = Job()


class RunningJob(Job):
    """A job whose row is kept up to date, at most every THROTTLE_SECONDS; the worker's pulse writes the rest."""

    def __init__(self, ticket: "Ticket", tickets: "Tickets", switch: Cancellation) -> None:
        self.id, self.owner, self.request_id = ticket.id, ticket.owner, ticket.request_id
        self.attempt = ticket.attempt
        self._ticket, self._tickets, self._switch = ticket, tickets, switch
        self._lock = threading.Lock()
        self._percent = 0.0
        self._metrics: dict[str, Any] = {}
        self._fresh: dict[str, Any] | None = None
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._memory: dict[str, Any] = dict(ticket.memory or {})
        self._kept = True
        self._written = 0.0

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.check()
        with self._lock:
            self._percent = round(100 * min(max(float(fraction), 0.0), 1.0), 1)
            self._metrics.update(metrics)
            self._fresh = (self._fresh or {}) | metrics
        self._flush_if_due()
        self.check()

    def log(self, line: str) -> None:
        self._tell("log", {"line": line.rstrip("\n")[:LONGEST_LINE]})

    def artifact(self, name: str, **facts: Any) -> None:
        self._tell("artifact", {"name": name, **facts})

    def check(self) -> None:
        self._switch.check()

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        if name not in self._memory:
            self._keep({**self._memory, name: make()})
        value: Value = self._memory[name]
        return value

    def forget(self, name: str) -> None:
        if name in self._memory:
            self._keep({kept: value for kept, value in self._memory.items() if kept != name})

    def keep(self, name: str, value: Any) -> None:
        self._keep({**self._memory, name: value})

    def _keep(self, memory: dict[str, Any]) -> None:
        with self._lock:
            self._memory, self._kept = memory, False
        self.flush()

    @property
    def cancelled(self) -> bool:
        return self._switch.reason is not None

    def flush(self) -> None:
        """Write what waits, in one transaction that also reads the cancel flag.

        A database that is away for a moment costs the job nothing: what was not written waits.
        """
        with self._lock:
            events, self._events = self._events, []
            fresh, self._fresh = self._fresh, None
            if not events and fresh is None and self._kept:
                return
            self._written = time.monotonic()
            if fresh is not None:
                events = [*events, ("progress", {"progress": self._percent, **fresh})]
            self._write(events)

    def _write(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        try:
            memory = None if self._kept else self._memory
            wanted = self._tickets.report(self._ticket, self._percent, self._metrics, events, memory)
        except SQLAlchemyError:
            log.warning("progress could not be written; it is tried again", exc_info=True)
            self._events = (events + self._events)[-MOST_WAITING:]
            return
        self._kept = True
        if wanted is None:
            self._switch.cancel("lost")
        elif wanted:
            self._switch.cancel("cancelled")

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        with self._lock:
            self._events.append((kind, data))
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._written >= THROTTLE_SECONDS:
            self.flush()
