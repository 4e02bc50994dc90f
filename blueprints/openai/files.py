"""OpenAI's files: what is trained with becomes a data set, pictures and other things are kept as they are."""

import hashlib
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from flask import Response, jsonify, request, send_file
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.landing import Landing, too_large
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.kit.problems import language
from blueprints.kit.uploads import keep_upload, take
from blueprints.kit.validation import FormModel, Upload
from blueprints.kit.waiting import submit, wait_seconds
from blueprints.openai.shapes import DeletedView, epoch, listed
from services.compute.wire import unpack_error
from services.contracts.datasets import LONGEST_NAME, DatasetUpload, OnError
from services.contracts.jobs import JobView
from services.contracts.user_files import (
    LATEST_SECONDS,
    SOONEST_SECONDS,
    FilePurpose,
    NewFile,
    UserFile,
    UserFilesQuery,
)
from services.domains import user_files
from services.errors import ServiceError
from services.usage import utc_now

bp = make_blueprint("openai_files", url_prefix="/v1/files", about="OpenAI's surface: files")

READ = "datasets.upload"
LONGEST_FILE_NAME = 255


class OpenAIFileForm(FormModel):
    """A file, and what it is for."""

    file: Upload
    purpose: FilePurpose = Field(description="`fine-tune` is read and becomes a data set; `vision` is a picture")
    expires_anchor: str | None = Field(None, alias="expires_after[anchor]", pattern="^created_at$")
    expires_seconds: int | None = Field(
        None, alias="expires_after[seconds]", ge=SOONEST_SECONDS, le=LATEST_SECONDS, description="It goes after these"
    )
    on_error: OnError = Field("fail", description="`skip` keeps the good rows of a training file with bad ones")


class OpenAIFilePath(BaseModel):
    file_id: str = Field(max_length=256, json_schema_extra={"example": "file-0123456789abcdef01234567"})


class OpenAIFileView(BaseModel):
    """One file. `dataset_id` is the data set that it became, for the other doors."""

    id: str = Field(examples=["file-0123456789abcdef01234567"])
    object: str = "file"
    bytes: int = Field(examples=[120000])
    created_at: int = Field(examples=[1790000000])
    filename: str = Field(examples=["train.jsonl"])
    purpose: str = Field(examples=["fine-tune"])
    status: str = Field(examples=["processed"], description="uploaded, processed or error")
    status_details: str | None = None
    expires_at: int | None = None
    dataset_id: str | None = None


class OpenAIFilesView(BaseModel):
    """A page of files."""

    object: str = "list"
    data: list[OpenAIFileView]
    first_id: str | None
    last_id: str | None
    has_more: bool


@bp.post("", responses={200: OpenAIFileView})
@mark(limit="default", upload="dataset")
def create(form: OpenAIFileForm) -> Response:
    """Keep a file. One to train with is read and checked at once; a very large one is `uploaded` until it is read."""
    if form.purpose == "fine-tune":
        return _become_dataset(form)
    landing = take(form.file, {"image"} if form.purpose == "vision" else ())
    most = services().settings.max_upload_mb * 2**20
    if form.purpose == "vision" and landing.size_bytes > most:
        raise too_large(most)
    kept = keep_upload(landing, ".data")
    try:
        file = user_files.add(_new(form, landing, kept=kept), services=services(), owner=me().id)
    except BaseException:
        services().files.forget([kept])
        raise
    return jsonify(view(file))


@bp.get("", responses={200: OpenAIFilesView})
@mark(limit="status")
def list_(query: UserFilesQuery) -> dict[str, Any]:
    """List the caller's files, the newest first."""
    found, more = user_files.list_(query, services=services(), identity=me())
    return listed([view(file) for file in found], has_more=more)


@bp.get("/<string:file_id>", responses={200: OpenAIFileView})
@mark(limit="status")
def show(path: OpenAIFilePath) -> dict[str, Any]:
    """Show one file."""
    return view(user_files.show(path.file_id, services=services(), identity=me()))


@bp.get(
    "/<string:file_id>/content",
    responses={200: {"description": "The bytes as they were sent", "content": {"*/*": {}}}},
)
@mark(limit="default")
def read_content(path: OpenAIFilePath) -> Response:
    """Read a file as it was sent."""
    file, place = user_files.content(path.file_id, services=services(), identity=me())
    name = PurePath(file.filename).name or file.id
    response = send_file(place, mimetype=file.media_type, as_attachment=True, download_name=name, conditional=True)
    response.headers["Cache-Control"] = "private"
    return response


@bp.delete("/<string:file_id>", responses={200: DeletedView})
@mark(limit="default")
def remove(path: OpenAIFilePath) -> dict[str, Any]:
    """Remove a file, with the data set that it became; not while a training uses it."""
    user_files.remove(path.file_id, services=services(), identity=me())
    return DeletedView(id=path.file_id, object="file").model_dump()


def _become_dataset(form: OpenAIFileForm) -> Response:
    """Let a job read the file, and wait for it; what is wrong with the file is raised, and nothing of it stays."""
    landing = take(form.file)
    new = _new(form, landing)
    kept = keep_upload(landing, ".data")
    told = [landing.sha256, me().id, sorted(request.form.items(multi=True)), new.filename]
    asked = DatasetUpload(
        file=kept,
        file_name=new.filename,
        sha256=landing.sha256,
        name=PurePath(new.filename).stem[:LONGEST_NAME] or "file",
        on_error=form.on_error,
    )
    job = None
    try:
        job = submit(READ, asked, fingerprint=hashlib.sha256(repr(told).encode()).hexdigest())
    finally:
        # From here on it is the job's; a replay, or none, has no use for it.
        if job is None or job.replayed:
            services().files.forget([kept])
    new.job_id = job.id
    file = user_files.add(new, services=services(), owner=me().id)
    response = jsonify(view(_wait(file, job)))
    if job.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _wait(file: UserFile, job: JobView) -> UserFile:
    with client_waits(request.environ):
        job = services().jobs.wait(job.id, wait_seconds())
    if job.ended:
        try:
            services().jobs.result(job)
        except ServiceError:
            user_files.forget(file.id, services=services())
            raise
    return user_files.show(file.id, services=services(), identity=me())


def _new(form: OpenAIFileForm, landing: Landing, *, kept: str | None = None) -> NewFile:
    sent = (form.file.filename or "").replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in sent if letter.isprintable()).strip()[:LONGEST_FILE_NAME]
    return NewFile(
        filename=name or "file",
        purpose=form.purpose,
        media_type=landing.media_type,
        size_bytes=landing.size_bytes,
        kept=kept,
        expires_at=utc_now() + timedelta(seconds=form.expires_seconds) if form.expires_seconds else None,
    )


def view(file: UserFile) -> dict[str, Any]:
    """A file in OpenAI's words."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": epoch(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": unpack_error(file.error).say(language()) if file.error else None,
        "expires_at": epoch(file.expires_at),
        "dataset_id": file.dataset_id,
    }
