"""Runs a job where it is submitted: a real runner for tests and the simplest development server."""

import logging
import threading
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from services.compute.queue import Queue
from services.compute.runners.base import Runner
from services.compute.runners.lanes import lane_bounds
from services.compute.worker import LeftBehind, Worker

if TYPE_CHECKING:
    from services.assemble import Services

log = logging.getLogger(__name__)


class InlineRunner(Runner):
    """`submit` returns when the job has ended, or waits for its next attempt; no thread of its own until then."""

    at_once = True

    def bind(self, services: "Services") -> None:
        self._queue = Queue(services.database)
        self.worker = Worker(services, lane_bounds(services.settings))
        self._later: threading.Timer | None = None

    def start(self) -> None:
        self.worker.reap()
        self.knock()

    def stop(self, seconds: float = 3.0) -> None:
        if self._later:
            self._later.cancel()
        self.worker.stop(seconds)

    def knock(self, lane: str | None = None) -> None:
        self.worker.hear_cancels()
        try:
            for each in [lane] if lane else list(self.worker.bounds):
                while self.worker.work_one(each):
                    continue
            self._come_back()
        except LeftBehind:
            log.warning("a job was left behind in the thread of a request")
        except SQLAlchemyError:
            log.exception("a job could not be taken from the queue")

    def _come_back(self) -> None:
        """Knock again when the next attempt of a job is due."""
        seconds = self._queue.seconds_to_next()
        waits = self._later is not None and self._later.is_alive() and self._later is not threading.current_thread()
        if seconds is None or waits:
            return
        self._later = threading.Timer(seconds, self.knock)
        self._later.daemon = True
        self._later.start()
