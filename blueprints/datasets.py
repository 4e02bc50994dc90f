"""System 5: data sets, from the file that is uploaded to what a training reads."""

import hashlib
from typing import Annotated, Any, Literal

from flask import Response, request
from pydantic import BaseModel, Field, field_validator

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.downloads import send_zip
from blueprints.kit.marks import mark
from blueprints.kit.problems import now, say
from blueprints.kit.uploads import keep_upload, take
from blueprints.kit.validation import FormModel, Upload
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.accounts import DoneView
from services.contracts.datasets import (
    LONGEST_NAME,
    DatasetDetail,
    DatasetRows,
    DatasetsPage,
    DatasetsQuery,
    DatasetStats,
    DatasetUpload,
    DatasetView,
    OnError,
    Processed,
    ProcessRequest,
    RowsQuery,
    Visible,
)
from services.contracts.jobs import JobView
from services.domains import datasets

bp = make_blueprint("datasets", url_prefix="/api/v1/datasets", about="Data sets, raw and processed (system 5)")


class DatasetPath(BaseModel):
    id: str = Field(max_length=300, description="Id of a data set")


class DatasetForm(FormModel):
    """What the file is, is read from its bytes; `format` is what the sender takes it for."""

    file: Upload
    name: Annotated[Visible, Field(min_length=1, max_length=LONGEST_NAME)]
    description: Annotated[Visible, Field(max_length=2000)] = ""
    format: Literal["json", "jsonl", "csv", "zip", ""] = "json"
    on_error: OnError = Field("fail", description="`skip` keeps the good rows of a file with bad ones")

    @field_validator("format", mode="before")
    @classmethod
    def lower(cls, value: object) -> object:
        """`JSON` and `json` are one."""
        return value.strip().lower() if isinstance(value, str) else value


class DatasetsShown(DatasetsPage):
    timestamp: str = Field(examples=["2023-03-08T15:10:00Z"])


class UploadedView(BaseModel):
    """What was uploaded, and what was found in it."""

    id: str = Field(examples=["dataset-0123456789abcdef"])
    name: str
    path: str = Field(examples=["data/raw/finance.json"])
    uploaded_at: str = Field(examples=["2023-03-08T15:20:00Z"])
    size_mb: float = Field(examples=[12])
    samples_count: int = Field(examples=[8000])
    description: str
    message: str
    format: str = Field(examples=["instruction_response"], description="Shape of training data that the rows have")
    columns: list[str]
    file: dict[str, Any] = Field(description="Kind, encoding and SHA-256")
    bad_rows: dict[str, Any] = Field(description="How many were left out, and the first of them")


class ProcessedView(BaseModel):
    """A new version of a processed data set."""

    task_id: str = Field(examples=["87654321-8765-4321-8765-432187654321"])
    status: str = Field(examples=["completed"])
    dataset_id: str = Field(description="What was processed")
    output_id: str = Field(description="What was made")
    output_path: str = Field(examples=["data/processed/finance_processed"])
    version: int
    splits: dict[str, int] = Field(examples=[{"train": 6400, "validation": 800, "test": 800}])
    counts: dict[str, Any] = Field(description="Rows read, written, and left out by reason")
    format: str
    message: str
    processed_at: str = Field(examples=["2023-03-08T15:25:00Z"])


@bp.get("", responses={200: DatasetsShown})
@mark(limit="default")
def list_(query: DatasetsQuery) -> dict[str, Any]:
    """List the data sets, the oldest first; all of them without `limit`."""
    return datasets.list_(query, services=services(), identity=me()).model_dump() | {"timestamp": now()}


@bp.post("/upload", responses={200: UploadedView, 202: AcceptedView})
@mark(limit="default", upload="dataset")
def upload(form: DatasetForm) -> Response:
    """Upload a data set: JSON, JSONL or CSV, also as gzip, or a zip of pictures; its rows are read and counted."""
    landing = take(form.file)
    kept = keep_upload(landing, ".data")
    asked = DatasetUpload(
        file=kept,
        file_name=(form.file.filename or "")[:1000].encode("utf-8", "replace").decode(),
        sha256=landing.sha256,
        name=form.name,
        description=form.description,
        on_error=form.on_error,
    )
    told = [landing.sha256, me().id, sorted(request.form.items(multi=True)), asked.file_name]
    fingerprint = hashlib.sha256(repr(told).encode()).hexdigest()
    # The job forgets the file itself, however it ends; a replay has no job to do it.
    response = answer("datasets.upload", asked, show=_uploaded, fingerprint=fingerprint)
    if "Idempotent-Replayed" in response.headers:
        services().files.forget([kept])
    return response


@bp.post("/process", responses={200: ProcessedView, 202: AcceptedView})
@mark(limit="default")
def process(body: ProcessRequest) -> Response:
    """Make training data of a data set: rendered by a template, filtered, and split at exact ratios."""
    return answer("datasets.process", body, show=_processed)


@bp.get("/<string:id>", responses={200: DatasetDetail})
@mark(limit="default")
def show(path: DatasetPath) -> dict[str, Any]:
    """Show a data set: its columns, its parts and its versions."""
    return datasets.show(path.id, services=services(), identity=me()).model_dump()


@bp.delete("/<string:id>", responses={200: DoneView})
@mark(limit="default")
def remove(path: DatasetPath) -> dict[str, bool]:
    """Remove a data set, with its files and all its versions."""
    datasets.remove(path.id, services=services(), identity=me())
    return {"success": True}


@bp.get("/<string:id>/rows", responses={200: DatasetRows})
@mark(limit="default")
def read_rows(path: DatasetPath, query: RowsQuery) -> dict[str, Any]:
    """Read the rows of a data set in pages."""
    return datasets.rows(path.id, query, services=services(), identity=me()).model_dump()


@bp.get("/<string:id>/stats", responses={200: DatasetStats})
@mark(limit="default")
def show_stats(path: DatasetPath) -> dict[str, Any]:
    """Show what the columns of a data set hold, and how long its rows are."""
    return datasets.stats(path.id, services=services(), identity=me()).model_dump()


@bp.get(
    "/<string:id>/download",
    responses={200: {"description": "The files as a zip", "content": {"application/zip": {}}}},
)
@mark(limit="default")
def download(path: DatasetPath) -> Response:
    """Download the files of a data set as a zip."""
    name, files = datasets.files(path.id, services=services(), identity=me())
    return send_zip(name, files)


def _uploaded(view: DatasetView, _job: JobView) -> dict[str, Any]:
    found = datasets.show(view.id, services=services(), identity=me())
    told = found.model_dump(include={"id", "name", "path", "size_mb", "samples_count", "description", "format"})
    return {
        **told,
        "columns": found.columns,
        "file": found.file,
        "bad_rows": found.bad_rows,
        "uploaded_at": found.model_dump()["created_at"],
        "message": say("The data set was uploaded.", "数据集上传成功"),
    }


def _processed(made: Processed, job: JobView) -> dict[str, Any]:
    told = made.model_dump()
    return {
        "task_id": job.id,
        "status": job.status,
        "dataset_id": made.source_id,
        "output_id": made.id,
        "output_path": made.path,
        "version": made.version,
        "splits": made.splits,
        "counts": made.counts,
        "format": made.format,
        "message": say("The data set was processed.", "数据集处理完成"),
        "processed_at": told["processed_at"],
    }
