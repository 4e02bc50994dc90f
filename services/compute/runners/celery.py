"""Runs jobs in Celery workers on any number of machines. Celery rings the bell; the job table is the truth.

A message says only that a lane has work. Whoever hears it takes the next job by priority and fairness,
so order holds over all machines, and a message too many or one that is lost does no harm: messages are
acknowledged when they arrive, nothing is redelivered (Redis' visibility time-out took 96 s to bring back
a killed worker's task), and the reaper alone brings jobs back and knocks again for what waits too long.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import redis
from sqlalchemy.exc import SQLAlchemyError

from services.compute.queue import Queue
from services.compute.runners.base import Runner
from services.compute.runners.lanes import lane_bounds
from services.compute.worker import DEAD_SECONDS, LeftBehind, Worker
from services.settings import Settings

if TYPE_CHECKING:
    from services.assemble import Services

TASK = "jobs.work"
POLL_SECONDS = 1.0
# A job that waits this long although there is room: its message may have been lost.
UNHEARD_SECONDS = 30.0

log = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Any:
    """The Celery application: the same in the web, which sends, and in `backend/worker.py`, which works."""
    from celery import Celery

    celery = Celery("polymath", broker=settings.redis_url)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        # Threads: a model is loaded once for all jobs of a worker, and trainings have children of their own.
        worker_pool="threads",
        worker_concurrency=sum(lane_bounds(settings).values()),
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"socket_connect_timeout": 1, "socket_timeout": 5},
        task_create_missing_queues=True,
    )
    return celery


class CeleryRunner(Runner):
    """Rings for workers. In a worker it also runs jobs; there and in the engine host it reaps."""

    def __init__(self, settings: Settings, *, works: bool, reaps: bool, dead_seconds: float = DEAD_SECONDS) -> None:
        self._works, self._reaps, self._dead_seconds = works, reaps, dead_seconds
        self.celery = make_celery(settings)
        self._redis = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=1, socket_timeout=1)
        self._stopping = threading.Event()
        self._bell: threading.Thread | None = None

    def bind(self, services: "Services") -> None:
        self.queue = Queue(services.database)
        self.worker = Worker(services, lane_bounds(services.settings), dead_seconds=self._dead_seconds)

    def start(self) -> None:
        if self._reaps and self._bell is None:
            self._bell = threading.Thread(target=self._ring, name="job-bell", daemon=True)
            self._bell.start()

    def stop(self, seconds: float = 3.0) -> None:
        self._stopping.set()
        if self._works:
            self.worker.stop(seconds)

    def knock(self, lane: str | None = None) -> None:
        """Ring once for *lane*; running jobs hear of a cancel by looking at their rows."""
        if lane is None:
            return
        from kombu.exceptions import OperationalError

        try:
            self.celery.send_task(TASK, args=[lane], queue=lane, ignore_result=True, retry=False)
        except (OperationalError, OSError):
            log.warning("Redis does not answer; the job is safe and runs when it does", extra={"lane": lane})

    def health(self) -> str:
        if self._bell is not None and not self._bell.is_alive():
            return "failed: the thread that reaps jobs ended"
        try:
            self._redis.ping()
        except (redis.RedisError, OSError) as error:
            return f"failed: Redis, {type(error).__name__}"
        return "ok"

    def work(self, lane: str) -> None:
        """What a message asks for: run one job of *lane*, and ring again while there are more."""
        try:
            worked = self.worker.work_one(lane)
        except LeftBehind:
            worked = True
        if worked and self.queue.any_queued(lane):
            self.knock(lane)

    def _ring(self) -> None:
        """Reap, and ring for jobs that wait although their message must have been heard long ago."""
        waiting_seconds, reaped = 0.0, 0.0
        while not self._stopping.is_set():
            try:
                lanes = set()
                if not reaped or time.monotonic() - reaped > self._dead_seconds / 3:
                    lanes, reaped = self.worker.reap(), time.monotonic()
                due = dict.fromkeys(lanes, 1) | self.queue.due(waiting_seconds)
                for lane, times in due.items():
                    for _ in range(times):
                        self.knock(lane)
                waiting_seconds = UNHEARD_SECONDS
            except SQLAlchemyError:
                log.warning("the job table does not answer; it is asked again", exc_info=True)
            self._stopping.wait(min(POLL_SECONDS, self._dead_seconds / 3))
