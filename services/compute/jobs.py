"""Jobs: submit, follow, cancel, retry. What blueprints and domains use of `compute`."""

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from services import cancellation
from services.compute import registry, wire
from services.compute.history import History
from services.compute.identity import new_job_id
from services.compute.notices import Notices
from services.compute.packing import Packer
from services.compute.queue import Queue
from services.compute.rows import utc_now
from services.compute.runners.base import Runner
from services.compute.watch import Watch
from services.contracts.jobs import EventsQuery, JobEventView, JobsQuery, JobsView, JobView
from services.database import Database
from services.errors import Conflict, Invalid
from services.settings import Settings

if TYPE_CHECKING:
    from services.assemble import Services

LONGEST_KEY = 255
# How often somebody who waits looks whether his client is still there.
LOOK_SECONDS = 1.0


class Jobs:
    """The jobs of this installation. *owner* None acts for an admin, who sees everybody's."""

    def __init__(self, database: Database, settings: Settings, runner: Runner) -> None:
        self.runner = runner
        self._queue = Queue(database)
        self._history = History(database)
        self._packer = Packer(settings)
        self.notices = Notices()
        self._watch = Watch(self._history.states, database.version, runner.tells)
        self.notices.call(self._watch.hear)
        self._services: Services | None = None

    def bind(self, services: "Services") -> None:
        """Take the services that jobs run with; called once, by `assemble`."""
        self._services = services
        self.runner.bind(services)

    def submit(
        self,
        name: str,
        request: BaseModel,
        *,
        owner: str,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        priority: int = 0,
        request_id: str = "",
    ) -> JobView:
        """Queue the function *name* with *request* for *owner*; the row is committed when the runner hears of it.

        With an *idempotency_key* that the owner used within 24 hours for the same request, the job of that
        time, `replayed`. *fingerprint* stands for the request where that differs each time, as with uploads
        under random names. Raises Invalid when the key was used for another request, and what the
        function's `lane_of` raises.
        """
        function = registry.find(name)
        if not isinstance(request, function.request) or function.streams:
            raise TypeError(f"{name} is queued with a {function.request.__name__} and must not stream")
        row = self._row(function, request, fingerprint) | {
            "owner": owner,
            "lane": self._lane(function, request, owner),
            "priority": priority,
            "request_id": request_id,
            "idempotency_key": _checked(idempotency_key),
        }
        job_id, replayed = self._queue.add(row)
        if replayed:
            return self._replay(job_id, owner, row["fingerprint"])
        self.runner.knock(row["lane"])
        return self.show(job_id) if self.runner.at_once else JobView.model_validate(row)

    def _lane(self, function: registry.Function, request: BaseModel, owner: str) -> registry.Lane:
        if function.lane_of is None:
            return function.lane
        return function.lane_of(request, services=self._services, owner=owner)

    def _row(self, function: registry.Function, request: BaseModel, fingerprint: str | None) -> dict[str, Any]:
        now = utc_now()
        return {
            "id": new_job_id(),
            "kind": function.name,
            "status": "queued",
            "request": self._packer.pack(request),
            "max_attempts": function.attempts,
            "fingerprint": fingerprint or self._packer.fingerprint(function.name, request),
            "created_at": now,
            "updated_at": now,
        }

    def show(self, job_id: str, *, owner: str | None = None) -> JobView:
        """One job. Raises NotFound, also for another owner's."""
        return self._history.show(job_id, owner)

    def list_(self, query: JobsQuery, *, owner: str | None = None) -> JobsView:
        """A page of jobs, newest first."""
        return self._history.page(query, owner)

    def earlier(self, idempotency_key: str | None, *, owner: str, fingerprint: str) -> JobView | None:
        """The job that *owner* submitted under the key within 24 hours, `replayed`; None where there is none.

        For those who look at a request before they submit it: what was looked at then may have changed.
        Raises Invalid when the key was used for another request.
        """
        found = self._queue.find_recent(owner, key) if (key := _checked(idempotency_key)) else None
        return self._replay(found, owner, fingerprint) if found else None

    def asked(self, job_id: str, *, owner: str | None = None) -> tuple[BaseModel, dict[str, Any]]:
        """The request of a job, and what the job remembers. Raises NotFound."""
        kind = registry.find(self.show(job_id, owner=owner).kind).request
        request, memory = self._history.asked(job_id, owner)
        return self._packer.unpack(kind, request), memory

    def revisions_of(self, kind: str, *, owner: str, most: int) -> dict[str, int]:
        """How often each of the newest *most* jobs of *kind* of *owner* has changed, the newest first."""
        return self._history.revisions_of(kind, owner, most)

    def count_by_status(self, *, owner: str | None = None) -> dict[str, int]:
        """How many jobs there are of each status."""
        return self._history.counts(owner)

    def events(self, job_id: str, query: EventsQuery | None = None, *, owner: str | None = None) -> list[JobEventView]:
        """What happened to a job, oldest first."""
        return self._history.events(job_id, owner, query or EventsQuery())

    def newest_events(self, job_id: str, *, before: int | None = None, limit: int = 20) -> list[JobEventView]:
        """What happened to a job, newest first, from before the event *before*."""
        return self._history.newest_events(job_id, before, limit)

    def wait(self, job_id: str, seconds: float, *, owner: str | None = None) -> JobView:
        """The job when it has ended, or as it is after *seconds*. Raises Cancelled when the caller's client left."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.show(job_id, owner=owner)
            left = deadline - time.monotonic()
            if job.ended or left <= 0:
                return job
            self.wait_for_change(job, left, for_end=True)

    def wait_for_change(self, job: JobView, seconds: float, *, for_end: bool = False) -> bool:
        """Return when *job* has changed since it was read, at the latest after *seconds*; whether it has.

        *for_end* is for who wants to hear of its end alone. Raises Cancelled when the switch of the calling
        request is thrown.
        """
        switch, deadline = cancellation.current(), time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._watch.wait(job.id, job.revision, min(left, LOOK_SECONDS), for_end=for_end):
                return True
            if switch:
                switch.check()
        return False

    def cancel(self, job_id: str, *, owner: str | None = None) -> JobView:
        """Ask a job to end; a queued one has ended at once, an ended one stays as it is."""
        if not self.show(job_id, owner=owner).ended:
            runs = self._queue.cancel(job_id)
            self.notices.publish(job_id, ended=not runs)
            if runs:
                self.runner.knock()
        return self.show(job_id, owner=owner)

    def retry(self, job_id: str, *, owner: str | None = None) -> JobView:
        """Queue a failed or canceled job again. Raises Conflict for any other."""
        job = self.show(job_id, owner=owner)
        lane = self._queue.retry(job_id)
        if lane is None:
            raise Conflict(
                "Only a failed or canceled job can be started again; this one is {status}.",
                "只有失败或已取消的任务可以重试，当前状态为 {status}。",
                status=job.status,
            )
        self.runner.knock(lane)
        return self.show(job_id, owner=owner)

    def result(self, job: JobView) -> Any:
        """What the function of the ended *job* returned. Raises what it raised, and Conflict when it was canceled."""
        if job.status == "failed" and job.error:
            wire.raise_packed(job.error)
        if job.status != "completed":
            raise Conflict("The job was canceled.", "任务已取消。", details={"reason": "canceled"})
        return registry.find(job.kind).answer.validate_python(job.result)

    def prune(self, days: float) -> int:
        """Remove jobs that ended more than *days* ago; how many."""
        return self._queue.prune(utc_now() - timedelta(days=days))

    def oldest_unfinished(self) -> datetime | None:
        """When the oldest job that has not ended was asked for, in UTC; None where all have."""
        return self._queue.oldest_unfinished()

    def _replay(self, job_id: str, owner: str, fingerprint: str) -> JobView:
        if self._queue.fingerprint(job_id) != fingerprint:
            raise Invalid(
                "Idempotency-Key",
                "This Idempotency-Key was used for another request; use a new one.",
                "该 Idempotency-Key 已用于其他请求，请更换。",
                reason="reused",
            )
        return self.show(job_id, owner=owner).model_copy(update={"replayed": True})


def _checked(key: str | None) -> str | None:
    if key and (len(key) > LONGEST_KEY or not key.isprintable()):
        raise Invalid(
            "Idempotency-Key",
            "An Idempotency-Key has at most {most} printable characters.",
            "Idempotency-Key 最多包含 {most} 个可打印字符。",
            most=LONGEST_KEY,
        )
    return key or None
