"""Waiting for jobs to change: one thread a process asks the database for all who wait."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from services.compute.notices import Notice
from services.threads import LateThread

SHORTEST_SECONDS = 0.02
LONGEST_SECONDS = 0.5


class State(NamedTuple):
    """How often a job was changed, and whether it has ended."""

    revision: int
    ended: bool


@dataclass(eq=False)
class Waiter:
    """Somebody who waits for job *id* to be changed more often than *revision* times, or to end."""

    id: str
    revision: int
    for_end: bool
    changed: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)

    def hears_of(self, state: State | None) -> bool:
        """Whether that is what it waits for; a job that is gone is news to everybody."""
        return state is None or (state.ended if self.for_end else state.revision != self.revision)


class Watch:
    """Wakes those who wait when their job's row has changed, whichever process changed it.

    Where *told*, `hear` is called for what happens to jobs, and it asks every 500 ms for what was not heard. Else
    it asks often while somebody has just begun to wait and seldom after that: a tenth of the time already
    waited, between 20 and 500 ms. Where the database tells by a *version* that nobody has written, it is not asked:
    a job that tells of its progress is waited for anew each time. Under gevent the thread is a greenlet.
    """

    def __init__(
        self,
        states: Callable[[list[str]], dict[str, State]],
        version: Callable[[], int | None],
        told: Callable[[], bool] = lambda: False,
    ) -> None:
        self._states, self._version, self._told = states, version, told
        self._seen: tuple[int | None, set[Waiter]] = (None, set())
        self._waiters: set[Waiter] = set()
        self._lock = threading.Lock()
        self._asker = LateThread(self._run, "job-watch")
        self._some = threading.Event()

    def wait(self, job_id: str, revision: int, seconds: float, *, for_end: bool = False) -> bool:
        """Return when the job's revision differs from *revision*, at the latest after *seconds*; whether it does.

        *for_end* waits for the end of the job instead; what it tells on its way wakes nobody then.
        """
        with self._waiting(Waiter(job_id, revision, for_end)) as waiter:
            return waiter.changed.wait(seconds)

    def hear(self, notice: Notice) -> None:
        """Wake those who wait for what *notice* tells."""
        with self._lock:
            for waiter in self._waiters:
                if waiter.id == notice.id and (notice.ended or not waiter.for_end):
                    waiter.changed.set()

    @contextmanager
    def _waiting(self, waiter: Waiter) -> Iterator[Waiter]:
        with self._lock:
            self._waiters.add(waiter)
        self._asker.begin()
        self._some.set()
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            if self._some.wait(pause):
                # A crowd that begins to wait one after another is answered together.
                time.sleep(SHORTEST_SECONDS / 4)
                self._some.clear()
            with self._lock:
                waiters = set(self._waiters)
            if waiters:
                if self._may_differ(waiters):
                    self._wake(waiters)
                pause = LONGEST_SECONDS if self._told() else _pause(waiters)
            else:
                pause = None

    def _may_differ(self, waiters: set[Waiter]) -> bool:
        """False where nobody has written since all of *waiters* were asked for."""
        (before, asked_for), now = self._seen, self._version()
        self._seen = now, waiters
        return now is None or now != before or not waiters <= asked_for

    def _wake(self, waiters: set[Waiter]) -> None:
        try:
            now = self._states(sorted({waiter.id for waiter in waiters}))
        except SQLAlchemyError:
            self._seen = None, set()
            return
        for waiter in waiters:
            if waiter.hears_of(now.get(waiter.id)):
                waiter.changed.set()


def _pause(waiters: set[Waiter]) -> float:
    """How long nobody is asked: short for whoever has just begun to wait."""
    youngest = time.monotonic() - max(waiter.since for waiter in waiters)
    return min(max(youngest / 10, SHORTEST_SECONDS), LONGEST_SECONDS)
