"""System 1: pictures are uploaded, described by a vision model, and written as training data."""

from pathlib import PurePath
from typing import Any

import orjson
from flask import Response, send_file
from pydantic import BaseModel, Field, ValidationError, field_validator

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.downloads import send_zip
from blueprints.kit.landing import Landing
from blueprints.kit.marks import mark
from blueprints.kit.problems import language
from blueprints.kit.uploads import take
from blueprints.kit.validation import FormModel, Upload, as_error
from blueprints.kit.waiting import AcceptedView, answer
from services import pictures
from services.annotations.uploads import Arrival
from services.aside import run_aside
from services.contracts.accounts import DoneView
from services.contracts.annotations import (
    AnnotationDone,
    AnnotationRequest,
    AnnotationsPage,
    AnnotationsQuery,
    AnnotationUsage,
    Concurrency,
    Format,
    OutputFiles,
    OutputsQuery,
    Price,
    Temperature,
    UploadedPicture,
)
from services.contracts.jobs import JobView
from services.domains import annotations
from services.errors import Invalid, ServiceError

bp = make_blueprint("annotations", url_prefix="/api", about="Pictures described, as training data (system 1)")

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp"}
LONGEST_NAME = 255


class UploadForm(FormModel):
    files: list[Upload] = Field(min_length=1, description="Pictures")


class UploadProblem(BaseModel):
    name: str = Field(examples=["notes.txt"])
    detail: str


class PicturesView(BaseModel):
    """What was kept, and what was not and why; one bad file loses none of the others."""

    files: list[UploadedPicture]
    errors: list[UploadProblem]


class AnnotateForm(FormModel):
    """What system 1 asks; an empty optional field is as good as none."""

    api_endpoint: str | None = Field(
        None, max_length=2000, description="A full URL, to which nothing is appended; `demo` describes offline"
    )
    api_key: str = Field("", max_length=4096)
    system_prompt: str = ""
    prompt: str = Field("", description="What is asked about each picture")
    temperature: Temperature | None = None
    file_names: str = Field(min_length=1, description="Names of uploads as a JSON array", examples=['["a.jpg"]'])
    model: str = Field("", max_length=256)
    format: Format = "openai"
    concurrency: Concurrency = Field(8, description="How many pictures are described at once")
    images: bool = Field(False, description="`download_url` gives a zip of the rows and their pictures")
    input_price: Price | None = Field(None, description="Of a million prompt tokens, for `usage.cost`")
    output_price: Price | None = Field(None, description="Of a million completion tokens")

    @field_validator("temperature", "input_price", "output_price", mode="before")
    @classmethod
    def empty_as_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("format", "concurrency", "images", mode="before")
    @classmethod
    def empty_as_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value == "" else value


class AnnotatedPicture(BaseModel):
    file_name: str
    description: str | None
    error: str | None


class AnnotatedView(BaseModel):
    """What the pictures came to. `task_id` is also the id under `/api/annotations`."""

    task_id: str
    status: str = Field(examples=["completed"])
    output_file: str | None = Field(examples=["0123456789abcdef0123456789abcdef.jsonl"])
    download_url: str | None = Field(examples=["/api/download/0123456789abcdef0123456789abcdef.jsonl"])
    total: int
    succeeded: int
    failed: int
    results: list[AnnotatedPicture]
    demo: bool
    usage: AnnotationUsage


class NamePath(BaseModel):
    filename: str = Field(max_length=LONGEST_NAME)


class DownloadQuery(BaseModel):
    images: bool = Field(False, description="A zip of the rows and their pictures")


@bp.post("/upload", responses={200: PicturesView})
@mark(limit="default", upload="pictures")
def upload(form: UploadForm) -> dict[str, Any]:
    """Upload pictures to be described; files that are none are told and lose none of the others."""
    arrivals, problems, first = list[Arrival](), list[UploadProblem](), None
    for file in form.files:
        name = _original_name(file.filename)
        try:
            arrivals.append(_arrival(take(file, {"image"}), name))
        except ServiceError as error:
            first = first or error
            problems.append(UploadProblem(name=name, detail=error.say(language())))
    if first and not arrivals:
        raise first
    kept = annotations.upload(arrivals, services=services(), identity=me())
    return PicturesView(files=kept, errors=problems).model_dump()


@bp.get(
    "/uploads/<string:filename>",
    responses={200: {"description": "The picture", "content": {"image/*": {}}}},
)
@mark(limit="status")
def show_upload(path: NamePath) -> Response:
    """Read an uploaded picture; only its owner may."""
    file, media_type = annotations.find_upload(path.filename, services=services(), identity=me())
    response = send_file(file.resolve(), media_type, download_name=file.name)
    response.headers["Cache-Control"] = "private"
    return response


@bp.delete("/uploads/<string:filename>", responses={200: DoneView})
@mark(limit="default")
def remove_upload(path: NamePath) -> dict[str, bool]:
    """Remove an uploaded picture."""
    annotations.remove_upload(path.filename, services=services(), identity=me())
    return {"success": True}


@bp.post("/annotations", responses={200: AnnotatedView, 202: AcceptedView})
@mark(limit="generation")
def annotate(form: AnnotateForm) -> Response:
    """Describe uploaded pictures with a vision model and write the descriptions as training data."""
    return answer("annotations.generate", _request(form), show=lambda done, job: _view(done, job, images=form.images))


@bp.get("/annotations", responses={200: AnnotationsPage})
@mark(limit="status")
def list_(query: AnnotationsQuery) -> dict[str, Any]:
    """List annotations, the oldest first."""
    return annotations.list_(query, services=services(), identity=me()).model_dump()


@bp.get("/outputs", responses={200: OutputFiles})
@mark(limit="status")
def list_outputs(query: OutputsQuery) -> dict[str, Any]:
    """List the files that annotations wrote, the oldest first; all of them without `limit`."""
    return annotations.outputs(query, services=services(), identity=me()).model_dump()


@bp.get(
    "/download/<string:filename>",
    responses={
        200: {"description": "The rows, or a zip of them and their pictures", "content": {"application/x-ndjson": {}}}
    },
)
@mark(limit="status")
def download(path: NamePath, query: DownloadQuery) -> Response:
    """Download the rows that an annotation wrote; with `images` a zip with their pictures."""
    kept, members = annotations.download(path.filename, services=services(), identity=me())
    if not query.images:
        response = send_file(kept.path.resolve(), "application/x-ndjson", as_attachment=True, download_name=kept.name)
    else:
        response = send_zip(kept.path.stem, members)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private"
    return response


def _arrival(landing: Landing, name: str) -> Arrival:
    """The picture that landed, whole. Raises UnsupportedMedia and Invalid."""
    most = services().settings.max_image_pixels
    data = landing.path.read_bytes()
    media_type, width, height = run_aside(pictures.measure, data, max_pixels=most, field="files")
    picture = UploadedPicture(
        name="",
        original_name=name,
        size=landing.size_bytes,
        content_type=media_type,
        width=width,
        height=height,
        sha256=landing.sha256,
    )
    return Arrival(landing.path, SUFFIXES[media_type], picture)


def _original_name(sent: str | None) -> str:
    """The last part of a name as it was sent, as far as it can be shown."""
    name = PurePath((sent or "").replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable())[-LONGEST_NAME:] or "file"


def _request(form: AnnotateForm) -> AnnotationRequest:
    endpoint = (form.api_endpoint or "").strip() or services().settings.default_api_endpoint
    if not endpoint:
        raise Invalid(
            "api_endpoint",
            "'api_endpoint' is required: a full URL, or 'demo'.",
            "参数'api_endpoint'不能为空，请提供完整的 URL 或 'demo'。",
            reason="required",
        )
    told = form.model_dump(exclude={"api_endpoint", "file_names", "images"})
    try:
        return AnnotationRequest(
            endpoint=endpoint,
            file_names=_file_names(form.file_names),
            language=language(),
            **told,
        )
    except ValidationError as error:
        raise as_error(error.errors(include_url=False)) from error


def _file_names(text: str) -> list[str]:
    try:
        names = orjson.loads(text)
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and 0 < len(name) < 1000 for name in names):
        raise Invalid(
            "file_names",
            "'file_names' is a JSON array of the names that /api/upload gave.",
            "'file_names' 必须是由 /api/upload 返回的文件名组成的 JSON 数组。",
            reason="json_invalid",
        )
    return names


def _view(done: AnnotationDone, job: JobView, *, images: bool) -> dict[str, Any]:
    url = f"/api/download/{done.output_file}" if done.output_file else None
    return {
        "task_id": job.id,
        "status": "completed" if done.succeeded else "failed",
        "output_file": done.output_file,
        "download_url": f"{url}?images=true" if url and images else url,
        "total": done.total,
        "succeeded": done.succeeded,
        "failed": done.failed,
        "results": [
            {"file_name": row.file_name, "description": row.description, "error": _sentence(row.error)}
            for row in done.results
        ],
        "demo": done.demo,
        "usage": done.usage.model_dump(),
    }


def _sentence(error: dict[str, Any] | None) -> str | None:
    return str(error[language()]) if error else None
