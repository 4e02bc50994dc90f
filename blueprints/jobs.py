"""Work that takes long: its progress, its log, its end, and giving it up."""

from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response, request, stream_with_context
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import ErrorDetail, make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits, presence
from blueprints.kit.problems import describe
from blueprints.kit.streams import HEADERS, HEARTBEAT, HEARTBEAT_SECONDS
from services.cancellation import Cancellation
from services.compute.wire import unpack_error
from services.contracts.jobs import EventsQuery, JobEventView, JobsQuery, JobsView, JobView
from services.errors import Invalid

bp = make_blueprint("jobs", url_prefix="/api/jobs", about="Work that takes long, and its progress")

# How often a stream looks whether its reader is still there.
LOOK_SECONDS = 1.0
EVENTS: dict[int | str, Any] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "Events `status`, `progress`, `log` and `artifact`, each with an id",
    },
    204: {"description": "The job has ended and there is no later event"},
}


class JobPath(BaseModel):
    job_id: str = Field(max_length=64, description="What a 202 named `task_id`")


class JobQuery(BaseModel):
    wait: float = Field(0, ge=0, le=300, description="Seconds to wait for the end of the job")


class JobShown(JobView):
    """A job. `error` is worded as errors of requests are."""

    task_id: str
    error: ErrorDetail | None = None  # type: ignore[assignment]


class JobsShown(JobsView):
    jobs: list[JobShown]  # type: ignore[assignment]


class EventsShown(BaseModel):
    events: list[JobEventView]
    next: int | None = Field(None, description="`after` of the next page; null when there is none yet")


@bp.get("", responses={200: JobsShown})
@mark(limit="status")
def list_(query: JobsQuery) -> dict[str, Any]:
    """List jobs, newest first: one's own; an admin sees everybody's."""
    page = services().jobs.list_(query, owner=owner())
    return {"jobs": [shown(job) for job in page.jobs], "count": page.count, "next": page.next}


@bp.get("/<job_id>", responses={200: JobShown})
@mark(limit="status")
def show(path: JobPath, query: JobQuery) -> dict[str, Any]:
    """Show a job; with `wait` the answer comes when it has ended, or after that many seconds."""
    if not query.wait:
        return shown(services().jobs.show(path.job_id, owner=owner()))
    with client_waits(request.environ):
        return shown(services().jobs.wait(path.job_id, query.wait, owner=owner()))


@bp.post("/<job_id>/cancel", responses={200: JobShown})
@mark(limit="status")
def cancel(path: JobPath) -> dict[str, Any]:
    """Ask a job to end. A queued one has ended at once; a running one ends at its next step."""
    return shown(services().jobs.cancel(path.job_id, owner=owner()))


@bp.post("/<job_id>/retry", responses={200: JobShown})
@mark(limit="generation")
def retry(path: JobPath) -> dict[str, Any]:
    """Start a failed or canceled job again."""
    return shown(services().jobs.retry(path.job_id, owner=owner()))


@bp.get("/<job_id>/log", responses={200: EventsShown})
@mark(limit="status")
def read_log(path: JobPath, query: EventsQuery) -> dict[str, Any]:
    """Read what happened to a job in pages: log lines, progress, artifacts (`type` chooses one kind)."""
    events = services().jobs.events(path.job_id, query, owner=owner())
    following = events[-1].id if len(events) == query.limit else None
    return {"events": [shown_event(event) for event in events], "next": following}


@bp.get("/<job_id>/events", responses=EVENTS)
@mark(limit="status")
def follow(path: JobPath) -> Response:
    """Follow a job as server-sent events, after `Last-Event-ID` where that is sent, until it ends.

    A client that comes back for an ended job gets 204, which tells a browser's EventSource to stop.
    """
    after = last_event_id()
    job = services().jobs.show(path.job_id, owner=owner())
    if job.ended and not services().jobs.events(job.id, EventsQuery(after=after, limit=1)):
        return Response(status=204)
    switch = Cancellation()
    presence.watch(switch, request.environ)
    frames = stream_with_context(_frames(job.id, after, switch))
    response = Response(frames, mimetype="text/event-stream", headers=HEADERS)
    response.call_on_close(lambda: presence.forget(switch))
    return response


def _frames(job_id: str, after: int, switch: Cancellation) -> Iterator[bytes]:
    """Events until the job has ended; comments while nothing happens. Ends when the reader or the worker leaves."""
    jobs, silent_seconds = services().jobs, 0.0
    while not switch.reason:
        job = jobs.show(job_id)
        if events := jobs.events(job_id, EventsQuery(after=after)):
            yield b"".join(_frame(event) for event in events)
            after, silent_seconds = events[-1].id, 0.0
        elif job.ended:
            return
        elif not jobs.wait_for_change(job, LOOK_SECONDS):
            silent_seconds += LOOK_SECONDS
            if silent_seconds % HEARTBEAT_SECONDS == 0:
                yield HEARTBEAT


def _frame(event: JobEventView) -> bytes:
    data = orjson.dumps(shown_event(event)["data"])
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), data)


def last_event_id() -> int:
    """The id of the last event that the client knows; 0 for one that comes first."""
    sent = request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    if not (sent.isascii() and sent.isdigit() and len(sent) <= 18):
        raise Invalid("Last-Event-ID", "Last-Event-ID must be the id of an event.", "Last-Event-ID 必须是事件编号。")
    return int(sent)


def owner() -> str | None:
    """Whose jobs the caller may see: their own, or (None) everybody's for an admin."""
    return None if me().is_admin else me().id


def shown(job: JobView) -> dict[str, Any]:
    """A job in the caller's language."""
    return job.model_dump(mode="json") | {"task_id": job.id, "error": worded(job.error)}


def shown_event(event: JobEventView) -> dict[str, Any]:
    """An event in the caller's language."""
    view = event.model_dump(mode="json")
    if error := view["data"].get("error"):
        view["data"] |= {"error": worded(error)}
    return view


def worded(packed: dict[str, Any] | None) -> dict[str, Any] | None:
    """A job's error as a request's error is told."""
    return dict(describe(unpack_error(packed))["error"]) if packed else None
