"""What the doors of training share: starting one, and the parts of its state that every document words alike."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
from flask import Response, jsonify, request
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import ErrorDetail
from blueprints.kit.context import me, services
from blueprints.kit.problems import describe, language
from blueprints.kit.waiting import headers_of, submit
from services.compute.wire import unpack_error
from services.contracts.jobs import JobView
from services.contracts.training import TrainingRequest
from services.contracts.training_doors import CurvePoint, TrainingResult, TrainingState
from services.domains import training
from services.trainers.base import Estimate

Words = Callable[[JobView], dict[str, Any]]


class TrainingPath(BaseModel):
    task_id: str = Field(max_length=64, description="What the start answered")


class StartedView(BaseModel):
    """A training that waits for its turn or runs."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["started"])
    position: int | None = Field(None, examples=[1], description="Place in the queue, 1 is next; null when it runs")
    estimate: dict[str, Any] = Field({}, description="Rows, longest row, and memory needed against what is there")
    warnings: list[str] = []


class StoppedView(BaseModel):
    task_id: str
    status: str = Field(examples=["canceled"])


class MoreView(BaseModel):
    """What is told of a training beside what its document shows."""

    position: int | None = Field(None, examples=[1], description="Place in the queue, 1 is next; null when not queued")
    stopping: bool = Field(False, description="It was told to stop and ends its step")
    attempt: int = Field(0, examples=[1])
    trainer: str = Field(examples=["lora"])
    base_model: str = Field(examples=["smollm2-135m-instruct"])
    dataset_path: str
    dataset_version: int | None = None
    output_path: str | None = Field(None, examples=["models/checkpoints/sample"])
    model: TrainingResult | None = Field(None, description="What it became, when it has ended or was stopped")
    error: ErrorDetail | None = None
    created_at: str = Field(examples=["2023-03-08T12:00:00Z"])
    started_at: str | None = Field(None, examples=["2023-03-08T12:00:00Z"])
    updated_at: str = Field(examples=["2023-03-08T12:30:00Z"])
    finished_at: str | None = None


class TrainingView(MoreView):
    """A training as system 3 documents it."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["running"], description="queued, running, completed, failed or canceled")
    progress: float = Field(examples=[45], description="0 to 100")
    current_epoch: int = Field(examples=[5])
    total_epochs: int = Field(examples=[10])
    current_step: int = Field(examples=[450])
    total_steps: int = Field(examples=[1000])
    loss: float | None = Field(None, examples=[0.0234])
    learning_rate: float | None = Field(None, examples=[0.00008])
    metrics: dict[str, Any] = Field(examples=[{"accuracy": 0.92, "f1_score": 0.89}])


class CurveView(BaseModel):
    history: list[CurvePoint] = Field([], description="The curve, at most about 500 points, spread evenly")


class TrainingShown(TrainingView, CurveView):
    """A training with its curve."""


def started(job: JobView) -> dict[str, Any]:
    """What system 3's starts answer."""
    return {"task_id": job.id, "status": "started"}


def start(asked: TrainingRequest, words: Words = started) -> Response:
    """Queue the training that is asked for, once for each `Idempotency-Key`; *words* makes the answer of its job.

    Raises all that can be known before it starts.
    """
    body = orjson.dumps([request.path, request.get_json()], option=orjson.OPT_SORT_KEYS)
    fingerprint = hashlib.sha256(body).hexdigest()
    key = request.headers.get("Idempotency-Key")
    if job := services().jobs.earlier(key, owner=me().id, fingerprint=fingerprint):
        return _started(job, words(job))
    resolved, estimate = training.prepare(asked, services=services(), identity=me())
    job = submit(training.TRAIN, resolved, fingerprint=fingerprint)
    return _started(job, words(job) | told_before(estimate))


def _started(job: JobView, shown: dict[str, Any]) -> Response:
    # A fresh row does not know its place yet.
    place = services().jobs.show(job.id).queue_position
    response = jsonify(shown | {"position": place})
    response.headers.update(headers_of(job))
    return response


def stop(task_id: str) -> dict[str, Any]:
    """Stop a training, in system 3's words. Raises NotFound and Conflict."""
    state = training.stop(task_id, services=services(), identity=me())
    return {"task_id": state.task_id, "status": "canceled"}


def show(task_id: str) -> dict[str, Any]:
    """A training with its curve, in system 3's words. Raises NotFound."""
    state = training.status(task_id, services=services(), identity=me())
    return in_words_of_3(state) | {"history": history_of(state)}


def in_words_of_3(state: TrainingState) -> dict[str, Any]:
    """The fields of `TrainingView`."""
    metrics = dict(state.metrics)
    counted = {name: int(metrics.get(name) or 0) for name in ("current_epoch", "current_step", "total_steps")}
    return {
        "task_id": state.task_id,
        "status": state.status,
        "progress": state.progress,
        **counted,
        "total_epochs": int(metrics.get("total_epochs") or state.request.epochs),
        "loss": loss_of(metrics),
        "learning_rate": metrics.get("learning_rate"),
        "metrics": metrics,
        **more_of(state),
    }


def told_before(estimate: Estimate) -> dict[str, Any]:
    """What is known of a training before it starts, with warnings in the caller's language."""
    numbers = {
        "rows": estimate.rows,
        "longest": estimate.longest,
        "cut_rows": estimate.cut_rows,
        "memory_mb": round(estimate.memory_mb),
        "available_mb": round(estimate.available_mb),
    }
    warnings = [warning.get(language(), warning.get("en", "")) for warning in estimate.warnings]
    return {"estimate": numbers, "warnings": warnings}


def more_of(state: TrainingState) -> dict[str, Any]:
    """The fields of `MoreView`."""
    told = state.model_dump(mode="json")
    asked = ("trainer", "base_model", "dataset_path", "dataset_version")
    same = ("position", "stopping", "attempt", "output_path", "model")
    times = ("created_at", "started_at", "updated_at", "finished_at")
    return {
        **{name: told[name] for name in (*same, *times)},
        **{name: told["request"][name] for name in asked},
        "error": worded(state),
    }


def worded(state: TrainingState) -> dict[str, Any] | None:
    """Why a training failed, in the caller's language; of one that is queued again nothing is told."""
    if state.error is None or state.status != "failed":
        return None
    return dict(describe(unpack_error(state.error))["error"])


def history_of(state: TrainingState) -> list[dict[str, Any]]:
    """The curve, without what was not told."""
    return [point.model_dump(exclude_none=True) for point in state.history]


def loss_of(metrics: dict[str, Any]) -> Any:
    """The loss, whichever of its two names the trainer gave it."""
    return metrics.get("loss", metrics.get("train_loss"))
