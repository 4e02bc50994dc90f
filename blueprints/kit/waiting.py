"""Work that takes long: queued as a job and waited for, or handed out as a job (RFC 7240).

    @bp.post("/generate")
    @mark(limit="generation")
    def generate(body: ImageRequest) -> Response:
        return answer("images.generate", body, show=lambda result, job: {"images": result.urls})

Without a preference the route waits `SYNC_WAIT_SECONDS` for the finished answer that its document shows.
With `Prefer: respond-async` or `wait=N`, or when the wait is over, it answers 202 and says where to look.
"""

import re
from collections.abc import Callable
from typing import Any

from flask import Response, g, jsonify, request
from pydantic import BaseModel, Field

from blueprints.kit.context import me, services
from blueprints.kit.presence import client_waits
from services.contracts.jobs import JobView

LOOK_AGAIN_SECONDS = 2
WHOLE_SECONDS = re.compile(r"[0-9]{1,6}")


class AcceptedView(BaseModel):
    """The work goes on as a job; `Location` says where to follow it."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["queued"])


def submit(name: str, body: BaseModel, *, fingerprint: str | None = None) -> JobView:
    """The job that does *name* with *body* for the caller: a new one, or the one of an earlier `Idempotency-Key`.

    *fingerprint* stands for the body where that differs each time, as with uploads under random names.
    """
    return services().jobs.submit(
        name,
        body,
        owner=me().id,
        idempotency_key=request.headers.get("Idempotency-Key"),
        fingerprint=fingerprint,
        request_id=g.request_id,
    )


def answer(
    name: str,
    body: BaseModel,
    *,
    show: Callable[[Any, JobView], dict[str, Any]],
    fingerprint: str | None = None,
    accepted: Callable[[JobView], dict[str, Any]] | None = None,
) -> Response:
    """What *show* makes of the job's result, or 202 with what *accepted* makes of the job when it takes longer.

    Raises what the function raised.
    """
    return answer_of(submit(name, body, fingerprint=fingerprint), show=show, accepted=accepted)


def answer_of(
    job: JobView,
    *,
    show: Callable[[Any, JobView], dict[str, Any]],
    accepted: Callable[[JobView], dict[str, Any]] | None = None,
) -> Response:
    """The same for a *job* that is submitted: for routes that have to know whether it came to one."""
    seconds = wait_seconds()
    if seconds and not job.ended:
        with client_waits(request.environ):
            job = services().jobs.wait(job.id, seconds).model_copy(update={"replayed": job.replayed})
    if job.ended:
        response = jsonify(show(services().jobs.result(job), job))
    else:
        response = jsonify(accepted(job) if accepted else {"task_id": job.id, "status": job.status})
        response.status_code = 202
    response.headers.update(headers_of(job))
    return response


def headers_of(job: JobView) -> dict[str, str]:
    """What an answer that started *job* says of it."""
    headers = {"Location": f"/api/jobs/{job.id}"}
    if not job.ended:
        headers["Retry-After"] = str(LOOK_AGAIN_SECONDS)
    if job.replayed:
        headers["Idempotent-Replayed"] = "true"
    if preferences():
        headers["Preference-Applied"] = ", ".join(f"{k}={v}" if v else k for k, v in preferences().items())
    return headers


def wait_seconds() -> float:
    """How long the caller wants this answer to be waited for, `SYNC_WAIT_SECONDS` at most."""
    wanted, longest = preferences(), services().settings.sync_wait_seconds
    if "wait" in wanted:
        return min(float(wanted["wait"]), longest)
    return 0.0 if "respond-async" in wanted else longest


def preferences() -> dict[str, str]:
    """Those of the caller's preferences that we know and that make sense; others are to be ignored."""
    # Each may have parameters after a semicolon; none of ours has.
    sent = [each.partition(";")[0].partition("=") for each in ",".join(request.headers.getlist("Prefer")).split(",")]
    known = {name.strip().lower(): value.strip().strip('"') for name, _, value in sent}
    found = {"respond-async": ""} if "respond-async" in known else {}
    wait = known.get("wait", "")
    return found | ({"wait": wait} if WHOLE_SECONDS.fullmatch(wait) else {})
