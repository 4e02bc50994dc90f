"""Takes jobs from the queue and runs them, whatever thread it is called in; every runner has one.

One thread a worker, the pulse, watches all jobs that run: it gives the sign of life, hears cancels,
ends what is overdue and writes progress that waits. So a job that never says a word is still alive,
cancellable and bounded.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from services.compute import outcomes
from services.compute.identity import is_dead, runner_name, this_host
from services.compute.outcomes import Outcome
from services.compute.packing import Packer
from services.compute.perform import Attempt, begin, perform
from services.compute.tickets import Tickets
from services.threads import LateThread

if TYPE_CHECKING:
    from services.assemble import Services

LOOK_SECONDS = 0.5
SHORTEST_LOOK_SECONDS = 0.05
BEAT_SECONDS = 5.0
DEAD_SECONDS = 30.0
# How long a job may take to hear its switch before its thread is left to itself.
GRACE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 2.0

log = logging.getLogger(__name__)


class LeftBehind(Exception):
    """This thread's job did not hear its switch and has ended without it; the thread shall end too."""


class Worker:
    """Runs jobs one by one where `work_one` is called; safe from many threads."""

    def __init__(
        self,
        services: "Services",
        bounds: Mapping[str, int],
        *,
        dead_seconds: float = DEAD_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.name = runner_name()
        self._tickets = Tickets(services.database, services.jobs.notices)
        self.bounds = bounds
        self._services = services
        self._packer = Packer(services.settings)
        self._dead_seconds, self._grace_seconds = dead_seconds, grace_seconds
        self._attempts: dict[int, Attempt] = {}
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._look_now = threading.Event()
        self._stopping = False
        self._pulse = LateThread(self._watch, "job-pulse")
        self._beaten = 0.0
        self._reap_after = 0.0
        self.on_give_up: Callable[[str], None] = lambda _lane: None

    def work_one(self, lane: str) -> bool:
        """Run the next job of *lane*; False when none is due or the lane is full. Raises LeftBehind."""
        if self._stopping:
            return False
        ticket = self._tickets.claim(lane, self.name, this_host(), self.bounds[lane])
        if ticket is None:
            return False
        attempt = begin(ticket, self._tickets)
        self._enter(attempt)
        outcome: Outcome | None = None
        try:
            outcome = perform(attempt, self._services, self._packer)
        finally:
            self._finish(attempt, outcome)
        if attempt.given_up:
            raise LeftBehind
        return True

    def hear_cancels(self) -> None:
        """Look at once which running jobs somebody wants cancelled."""
        self._look_now.set()

    @property
    def running(self) -> int:
        """How many jobs run here."""
        return len(self._attempts)

    def reap(self) -> set[str]:
        """End or queue again what dead processes left; the lanes that have work now.

        After trouble with the database nobody is thought dead for a while: the others could not give their
        sign of life either.
        """
        dead_seconds = self._dead_seconds if time.monotonic() >= self._reap_after else 1e6
        return self._tickets.reap(dead_seconds, is_dead, spare=list(self._attempts))

    def stop(self, seconds: float) -> None:
        """Take no more jobs, ask those that run to end, and hand back what has not after *seconds*."""
        self._stopping = True
        with self._lock:
            attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.throw("restarting")
        deadline = time.monotonic() + seconds
        while self._attempts and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            self._tickets.hand_back(self.name)
        except SQLAlchemyError:
            log.warning("unfinished jobs could not be handed back; they are found by the next start", exc_info=True)
        self._some.set()
        self._look_now.set()

    def _enter(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts[attempt.ticket.number] = attempt
            if self._stopping:
                attempt.throw("restarting")
        self._pulse.begin()
        self._some.set()

    def _finish(self, attempt: Attempt, outcome: Outcome | None) -> None:
        try:
            if outcome is not None and not attempt.given_up:
                self._write_end(attempt, outcome)
        except StatementError as error:
            # The answer itself cannot be written, which trying again would not change.
            log.error("a job's answer cannot be stored", exc_info=error, extra={"job": attempt.ticket.id})
            self._write_end(attempt, outcomes.failed(error, attempt.ticket.attempt, attempt.ticket.max_attempts))
        finally:
            with self._lock:
                if self._attempts.get(attempt.ticket.number) is attempt:
                    del self._attempts[attempt.ticket.number]

    def _write_end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write the end, and again until it is written: the work is done, only the database is away."""
        pause = 0.05
        while True:
            try:
                attempt.job.flush()
                self._tickets.end(attempt.ticket, outcome)
                return
            except DBAPIError:
                log.warning("the end of a job could not be written; it is tried again", exc_info=True)
                self._hold_off()
            if self._stopping and pause >= LONGEST_PAUSE_SECONDS:
                return
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _hold_off(self) -> None:
        self._reap_after = time.monotonic() + self._dead_seconds

    def _watch(self) -> None:
        while not self._stopping:
            self._some.wait()
            # Many cancels in a row are heard in one look.
            time.sleep(SHORTEST_LOOK_SECONDS)
            self._look_now.wait(LOOK_SECONDS)
            self._look_now.clear()
            with self._lock:
                attempts = list(self._attempts.values())
                if not attempts and not self._stopping:
                    self._some.clear()
                    continue
            try:
                self._look_at(attempts)
            except SQLAlchemyError:
                log.warning("running jobs could not give their sign of life", exc_info=True)
                self._hold_off()

    def _look_at(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            if attempt.overdue:
                attempt.throw("timed_out")
        numbers = [attempt.ticket.number for attempt in attempts]
        cancelled = self._tickets.cancelled(numbers) if numbers else set()
        held = self._beat(numbers)
        for attempt in attempts:
            if attempt.ticket.number not in held and attempt.ticket.number in self._attempts:
                attempt.throw("lost")
            elif attempt.ticket.number in cancelled:
                attempt.throw("cancelled")
            attempt.job.flush()
            self._give_up_if_deaf(attempt)

    def _beat(self, numbers: list[int]) -> set[int]:
        if not numbers or time.monotonic() - self._beaten < min(BEAT_SECONDS, self._dead_seconds / 6):
            return set(numbers)
        held = self._tickets.beat(numbers, self.name)
        self._beaten = time.monotonic()
        return held

    def _give_up_if_deaf(self, attempt: Attempt) -> None:
        """End the row of a job that does not hear its switch; its thread can change nothing any more."""
        if attempt.thrown is None or time.monotonic() - attempt.thrown < self._grace_seconds or self._stopping:
            return
        attempt.given_up = True
        with self._lock:
            self._attempts.pop(attempt.ticket.number, None)
        late = attempt.switch.reason == "timed_out"
        self._tickets.end(attempt.ticket, outcomes.timed_out(attempt.seconds or 0) if late else outcomes.cancelled())
        log.error("a job does not end when told to; its thread is left behind", extra={"job": attempt.ticket.id})
        self.on_give_up(attempt.ticket.lane)
