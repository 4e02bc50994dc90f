"""Waiting for jobs to change: one thread a process asks the database for all who wait."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

SHORTEST_SECONDS = 0.02
LONGEST_SECONDS = 0.5


@dataclass(eq=False)
class Waiter:
    """Somebody who waits for job *id* to be changed more often than *revision* times."""

    id: str
    revision: int
    changed: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)


class Watch:
    """Wakes those who wait when their job's row has changed, whichever process changed it.

    It asks often while somebody has just begun to wait and seldom after that: a tenth of the time already
    waited, between 20 and 500 ms. Where the database tells by a *version* that nobody has written, it is not asked:
    a job that tells of its progress is waited for anew each time. Under gevent the thread is a greenlet.
    """

    def __init__(self, revisions: Callable[[list[str]], dict[str, int]], version: Callable[[], int | None]) -> None:
        self._revisions, self._version = revisions, version
        self._seen: tuple[int | None, set[Waiter]] = (None, set())
        self._waiters: set[Waiter] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._some = threading.Event()

    def wait(self, job_id: str, revision: int, seconds: float) -> bool:
        """Return when the job's revision differs from *revision*, at the latest after *seconds*; whether it does."""
        with self._waiting(Waiter(job_id, revision)) as waiter:
            return waiter.changed.wait(seconds)

    def look(self) -> None:
        """Look now: something changed in this process."""
        self._some.set()

    @contextmanager
    def _waiting(self, waiter: Waiter) -> Iterator[Waiter]:
        with self._lock:
            self._waiters.add(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="job-watch", daemon=True)
                self._thread.start()
        self._some.set()
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            self._some.wait(pause)
            self._some.clear()
            with self._lock:
                waiters = set(self._waiters)
            if waiters:
                if self._may_differ(waiters):
                    self._wake(waiters)
                youngest = time.monotonic() - max(waiter.since for waiter in waiters)
                pause = min(max(youngest / 10, SHORTEST_SECONDS), LONGEST_SECONDS)
                # A crowd that begins to wait one after another is answered together.
                time.sleep(SHORTEST_SECONDS / 4)
            else:
                pause = None

    def _may_differ(self, waiters: set[Waiter]) -> bool:
        """False where nobody has written since all of *waiters* were asked for."""
        (before, asked_for), now = self._seen, self._version()
        self._seen = now, waiters
        return now is None or now != before or not waiters <= asked_for

    def _wake(self, waiters: set[Waiter]) -> None:
        try:
            now = self._revisions(sorted({waiter.id for waiter in waiters}))
        except SQLAlchemyError:
            self._seen = None, set()
            return
        for waiter in waiters:
            if now.get(waiter.id) != waiter.revision:
                waiter.changed.set()
