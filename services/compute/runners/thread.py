"""Runs jobs in threads of this process; the default, in the engine host.

Each lane has as many threads as it may run jobs, started when first needed. A knock wakes one; a thread
that finished a job takes the next by itself. One more thread, the bell, knocks for what nobody knocked
for (attempts that are due again, jobs from a web process whose knock was lost) and reaps.

All are daemon threads: a pool that Python joins at exit would hold up the end of the process.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from services.compute import registry
from services.compute.queue import Queue
from services.compute.runners.base import Runner
from services.compute.runners.lanes import lane_bounds
from services.compute.worker import DEAD_SECONDS, GRACE_SECONDS, LeftBehind, Worker

if TYPE_CHECKING:
    from services.assemble import Services

POLL_SECONDS = 1.0

log = logging.getLogger(__name__)


class ThreadRunner(Runner):
    """Bounded lanes of threads; starts by itself at the first knock."""

    def __init__(self, *, dead_seconds: float = DEAD_SECONDS, grace_seconds: float = GRACE_SECONDS) -> None:
        self._dead_seconds, self._grace_seconds = dead_seconds, grace_seconds
        self._stopping = False
        self._rung = threading.Event()
        self._starting = threading.Lock()
        self._bell: threading.Thread | None = None

    def bind(self, services: "Services") -> None:
        self._queue = Queue(services.database)
        bounds = lane_bounds(services.settings)
        self.worker = Worker(services, bounds, dead_seconds=self._dead_seconds, grace_seconds=self._grace_seconds)
        self.worker.on_give_up = lambda lane: self._lanes[lane].replace()
        self._lanes = {lane: Lane(lane, size, self.worker) for lane, size in bounds.items()}

    def start(self) -> None:
        with self._starting:
            if self._bell is None and not self._stopping:
                # Importing the domains takes a moment, for which the first job would wait.
                registry.all_functions()
                self._bell = threading.Thread(target=self._ring, name="job-bell", daemon=True)
                self._bell.start()

    def stop(self, seconds: float = 3.0) -> None:
        self._stopping = True
        self._rung.set()
        for lane in self._lanes.values():
            lane.close()
        self.worker.stop(seconds)

    def knock(self, lane: str | None = None) -> None:
        self.start()
        if lane:
            self._lanes[lane].wake()
        else:
            self.worker.hear_cancels()
            self._rung.set()

    def tells(self) -> bool:
        return True

    def health(self) -> str:
        return "ok" if self._bell is None or self._bell.is_alive() else "failed: the thread that looks for jobs ended"

    def _ring(self) -> None:
        reaped = 0.0
        while not self._stopping:
            try:
                if not reaped or time.monotonic() - reaped > self._dead_seconds / 3:
                    self.worker.reap()
                    reaped = time.monotonic()
                for lane, waiting in self._queue.due().items():
                    self._lanes[lane].wake(waiting)
            except SQLAlchemyError:
                log.warning("the job table does not answer; it is asked again", exc_info=True)
            self._rung.wait(POLL_SECONDS)
            self._rung.clear()


class Lane:
    """The threads of one lane: as many as may run at once, started when first needed."""

    def __init__(self, name: str, size: int, worker: Worker) -> None:
        self._name, self._size, self._worker = name, size, worker
        self._turn = threading.Condition()
        self._wanted = 0
        self._idle = 0
        self._threads = 0
        self._closed = False

    def wake(self, times: int = 1) -> None:
        """Let up to *times* threads look for a job."""
        with self._turn:
            self._wanted = min(self._wanted + times, self._size)
            while self._threads < self._size and self._idle < self._wanted and not self._closed:
                self._threads += 1
                self._idle += 1
                threading.Thread(target=self._run, name=f"job-{self._name}", daemon=True).start()
            self._turn.notify(times)

    def replace(self) -> None:
        """A thread is left behind with a job that does not end; another may take its place."""
        with self._turn:
            self._threads -= 1
        self.wake()

    def close(self) -> None:
        with self._turn:
            self._closed = True
            self._turn.notify_all()

    def _run(self) -> None:
        while self._take_turn():
            try:
                self._work()
            except LeftBehind:
                return
            with self._turn:
                self._idle += 1

    def _take_turn(self) -> bool:
        """Wait until there may be a job; False at the end. The thread counts as idle while it waits."""
        with self._turn:
            while not self._wanted and not self._closed:
                self._turn.wait()
            self._wanted -= 0 if self._closed else 1
            self._idle -= 1
            return not self._closed

    def _work(self) -> None:
        """Run jobs until there is none."""
        try:
            while self._worker.work_one(self._name):
                continue
        except SQLAlchemyError:
            log.warning("a job could not be taken from the queue; the bell tries again", exc_info=True)
