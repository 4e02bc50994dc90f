"""What system 3's routes that generate share: a task that is handed out, its status, and a picture to start from."""

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, g, jsonify, request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage

from blueprints.kit.context import me, services
from blueprints.kit.presence import client_waits
from blueprints.kit.problems import describe
from blueprints.kit.uploads import landed, take
from blueprints.kit.waiting import answer_of, headers_of, preferences, submit, wait_seconds
from services import pictures
from services.aside import run_aside
from services.compute.wire import unpack_error
from services.contracts.images import SourcePicture
from services.contracts.jobs import JobView
from services.errors import NotFound
from services.files import KeptFile

# What is shown of a result; it is asked with None while there is none.
Show = Callable[[Any], dict[str, Any]]
PROCESSING = {"queued", "running"}
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


def start(job: JobView, show: Show) -> Response:
    """The task of *job* as it stands at once, or after the seconds of `Prefer: wait=N`."""
    if "wait" in preferences() and not job.ended:
        with client_waits(request.environ):
            job = services().jobs.wait(job.id, wait_seconds()).model_copy(update={"replayed": job.replayed})
    response = jsonify(view(job, show))
    response.headers.update(headers_of(job))
    return response


def finish(job: JobView, show: Show) -> Response:
    """The finished task of *job*, waited for; 202 with the task when it takes longer."""
    return answer_of(job, show=lambda _result, job: view(job, show), accepted=lambda job: view(job, show))


def status(task_id: str, kind: str, show: Show) -> dict[str, Any]:
    """How far the caller's task is. Raises NotFound, also for a task of another kind."""
    job = services().jobs.show(task_id, owner=None if me().is_admin else me().id)
    if job.kind != kind:
        raise NotFound("There is no task {id}.", "任务 {id} 不存在。", id=repr(task_id[:80]))
    return view(job, show)


def view(job: JobView, show: Show) -> dict[str, Any]:
    """*job* in system 3's words: `processing` until it ends, and what went wrong when it failed."""
    result = services().jobs.result(job) if job.status == "completed" else None
    shown = {"task_id": job.id, "status": "processing" if job.status in PROCESSING else job.status, **show(result)}
    shown["progress"] = 100 if result is not None else job.progress
    if job.error:
        shown["error"] = describe(unpack_error(job.error))["error"]
    return shown


def keep_source(upload: FileStorage) -> tuple[KeptFile, SourcePicture]:
    """The picture of *upload*, whole and upright, kept as the caller's. Raises Malformed, UnsupportedMedia, Invalid."""
    landing = take(upload, {"image"})
    source = run_aside(pictures.check, landing.path, max_pixels=services().settings.max_image_pixels)
    kept = services().files.keep(source.data, "uploads", SUFFIXES[source.media_type], owner=me().id)
    return kept, source


def submit_with_source(name: str, upload: FileStorage, body: Callable[[str], BaseModel]) -> JobView:
    """The job that does *name* with what *body* makes of the kept picture's name; refused, nothing is kept.

    From here on the picture is the job's: a client that leaves does not take it along.
    """
    fingerprint = hashlib.sha256(
        repr([request.path, landed(upload).sha256, sorted(request.form.items(multi=True)), g.identity.id]).encode()
    ).hexdigest()
    kept, _ = keep_source(upload)
    return submit_keeping(kept.name, name, body(kept.name), fingerprint=fingerprint)


def submit_keeping(file_name: str, name: str, body: BaseModel, *, fingerprint: str) -> JobView:
    """The job that does *name* with *body* and a kept file, which goes again where no new job came of it."""
    job = None
    try:
        job = submit(name, body, fingerprint=fingerprint)
        return job
    finally:
        if job is None or job.replayed:
            services().files.forget([file_name])
