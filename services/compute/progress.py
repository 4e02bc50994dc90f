"""What a domain function sees of its job: where it says how far it is, and hears that it shall end."""

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from services.cancellation import Cancellation

if TYPE_CHECKING:
    from services.compute.tickets import Ticket, Tickets

THROTTLE_SECONDS = 0.2
LONGEST_LINE = 4000
# What is kept of the newest lines while the database is away.
MOST_WAITING = 10_000

log = logging.getLogger(__name__)


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
            if not events and fresh is None:
                return
            self._written = time.monotonic()
            if fresh is not None:
                events = [*events, ("progress", {"progress": self._percent, **fresh})]
            self._write(events)

    def _write(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        try:
            wanted = self._tickets.report(self._ticket, self._percent, self._metrics, events)
        except SQLAlchemyError:
            log.warning("progress could not be written; it is tried again", exc_info=True)
            self._events = (events + self._events)[-MOST_WAITING:]
            return
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
