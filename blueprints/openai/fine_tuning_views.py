"""Trainings, their events and their checkpoints in OpenAI's words."""

import re
import time
from typing import Any

from pydantic import BaseModel, Field

from blueprints.kit import trainings
from blueprints.kit.problems import say
from blueprints.openai.shapes import epoch
from services.contracts.fine_tuning import BATCH_SIZE, LEARNING_RATE
from services.contracts.jobs import JobEventView
from services.contracts.training_doors import CurvePoint, TrainingState
from services.errors import Invalid
from services.tables.user_files import FineTuningTable

EVENT_ID = re.compile(r"(?:ftevent-)?([0-9]{1,18})")
STATUSES = {"completed": "succeeded", "canceled": "cancelled"}
# OpenAI's names of what a step tells, by ours.
METRICS = {
    "train_loss": ("train_loss", "loss"),
    "train_mean_token_accuracy": ("accuracy",),
    "valid_loss": ("val_loss",),
}


class FineTuningJobView(BaseModel):
    """A training; `progress`, `metrics`, `position` and, at its start, `estimate` and `warnings` are ours."""

    id: str = Field(examples=["ftjob-550e8400-e29b-41d4-a716-446655440000"])
    object: str = "fine_tuning.job"
    model: str = Field(examples=["smollm2-135m-instruct"])
    created_at: int
    finished_at: int | None = None
    estimated_finish: int | None = None
    fine_tuned_model: str | None = Field(None, examples=["ft:smollm2-135m-instruct:lin:tone:1f0c9a2b"])
    organization_id: str
    status: str = Field(examples=["running"], description="queued, running, paused, succeeded, failed or cancelled")
    training_file: str
    validation_file: str | None = None
    result_files: list[str] = []
    hyperparameters: dict[str, Any]
    method: dict[str, Any]
    seed: int
    trained_tokens: int | None = None
    error: dict[str, Any] | None = None
    integrations: list[Any] = []
    user_provided_suffix: str | None = None
    metadata: dict[str, str] | None = None
    progress: float = 0
    metrics: dict[str, Any] = {}


class FineTuningJobsView(BaseModel):
    object: str = "list"
    data: list[FineTuningJobView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FineTuningEventView(BaseModel):
    """Something that happened in a training."""

    id: str = Field(examples=["ftevent-12"])
    object: str = "fine_tuning.job.event"
    created_at: int
    level: str = Field(examples=["info"], description="info, warn or error")
    message: str = Field(examples=["Step 3 of 200: training loss 0.51"])
    type: str = Field(examples=["metrics"], description="message or metrics")
    data: dict[str, Any] | None = None


class FineTuningEventsView(BaseModel):
    object: str = "list"
    data: list[FineTuningEventView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FineTuningCheckpointView(BaseModel):
    """A checkpoint; the newest is what is served under the model's name."""

    id: str
    object: str = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, Any]


class FineTuningCheckpointsView(BaseModel):
    object: str = "list"
    data: list[FineTuningCheckpointView]
    first_id: str | None
    last_id: str | None
    has_more: bool


def job_view(state: TrainingState, words: FineTuningTable | None) -> dict[str, Any]:
    """A training of any door; *words* are those in which it was asked for here."""
    numbers = _hyperparameters(state)
    paused = words is not None and words.paused
    return {
        "id": f"ftjob-{state.task_id}",
        "object": "fine_tuning.job",
        "model": state.request.base_model,
        "created_at": epoch(state.created_at),
        "finished_at": epoch(state.finished_at),
        "estimated_finish": _estimated_finish(state),
        "fine_tuned_model": state.model.openai_name if state.model else None,
        "organization_id": words.owner if words else "",
        "status": _status(state, paused=paused),
        "training_file": (words and words.training_file) or state.request.dataset_path,
        "validation_file": (words and words.validation_file) or state.request.validation_path,
        "result_files": [],
        "hyperparameters": numbers,
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "seed": state.request.seed,
        "trained_tokens": (state.model.metrics.get("tokens") if state.model else None),
        "error": _error(state),
        "integrations": [],
        "user_provided_suffix": state.request.name,
        "metadata": dict(words.labels or {}) if words else {},
        "progress": state.progress,
        "metrics": state.metrics,
    }


def _status(state: TrainingState, *, paused: bool) -> str:
    if state.stopping or state.status == "canceled":
        return "paused" if paused else "cancelled"
    return STATUSES.get(state.status, state.status)


def _hyperparameters(state: TrainingState) -> dict[str, Any]:
    asked = state.request
    return {
        "n_epochs": asked.epochs,
        "batch_size": asked.batch_size or BATCH_SIZE,
        "learning_rate_multiplier": float(f"{asked.learning_rate / LEARNING_RATE:.6g}"),
    }


def _estimated_finish(state: TrainingState) -> int | None:
    seconds = state.metrics.get("eta_seconds")
    return int(time.time() + seconds) if state.status == "running" and seconds else None


def _error(state: TrainingState) -> dict[str, Any] | None:
    told = trainings.worded(state)
    return {name: told[name] for name in ("code", "message", "param")} if told else None


def event_view(event: JobEventView) -> dict[str, Any]:
    """One event of a training's job."""
    level, message, data = _told(event)
    return {
        "id": f"ftevent-{event.id}",
        "object": "fine_tuning.job.event",
        "created_at": epoch(event.at),
        "level": level,
        "message": message,
        "type": "metrics" if data else "message",
        "data": data,
    }


def _told(event: JobEventView) -> tuple[str, str, dict[str, Any] | None]:
    """An event's level, its sentence, and its numbers where it has some."""
    data = event.data
    if event.type == "log":
        return "info", str(data.get("line", "")), None
    if event.type == "artifact" and data.get("name") == "checkpoint":
        step = data.get("step")
        return "info", say(f"Checkpoint created at step {step}", f"已在第 {step} 步创建检查点"), None
    if event.type == "status":
        return _status_told(str(data.get("status")))
    step = data.get("current_step")
    if event.type == "progress" and step:
        return "info", _step_told(data), {"step": step, "total_steps": data.get("total_steps"), **measured(data)}
    return "info", str(data.get("status") or data.get("name") or event.type), None


def _status_told(status: str) -> tuple[str, str, None]:
    sentences = {
        "queued": ("The job is queued", "任务已排队"),
        "running": ("Fine-tuning job started", "训练任务已开始"),
        "completed": ("The job has successfully completed", "训练任务已成功完成"),
        "failed": ("The job failed", "训练任务失败"),
        "canceled": ("The job was stopped", "训练任务已停止"),
    }
    return "error" if status == "failed" else "info", say(*sentences.get(status, (status, status))), None


def _step_told(data: dict[str, Any]) -> str:
    """The sentence of one step."""
    step, total, told = data["current_step"], data.get("total_steps"), measured(data)
    en = f"Step {step}" + (f"/{total}" if total else "")
    losses = [("training loss", "train_loss"), ("validation loss", "valid_loss")]
    return ": ".join([en, ", ".join(f"{word}={told[name]:.4g}" for word, name in losses if name in told)]).rstrip(": ")


def measured(data: dict[str, Any]) -> dict[str, float]:
    """Of what a step told what OpenAI has a name for; other numbers under ours."""
    found = {}
    for name, sources in METRICS.items():
        value = next((data[source] for source in sources if isinstance(data.get(source), int | float)), None)
        if value is not None:
            found[name] = float(value)
    more = ("learning_rate", "epoch", "perplexity", "grad_norm", "tokens_per_second")
    return found | {name: data[name] for name in more if data.get(name) is not None}


def checkpoint_views(state: TrainingState, told: list[JobEventView]) -> list[dict[str, Any]]:
    """The checkpoints that can be called, with what was measured there: the newest, which the model itself is."""
    if state.model is None or not told:
        return []
    newest = told[0]
    step = int(newest.data.get("step") or 0)
    return [
        {
            "id": f"ftckpt-{state.task_id}-{step}",
            "object": "fine_tuning.job.checkpoint",
            "created_at": epoch(newest.at),
            "fine_tuned_model_checkpoint": state.model.openai_name,
            "fine_tuning_job_id": f"ftjob-{state.task_id}",
            "step_number": step,
            "metrics": {"step": step, **_at(state.history, step)},
        }
    ]


def _at(history: list[CurvePoint], step: int) -> dict[str, float]:
    """What the curve says at *step*, or just before."""
    before = [point for point in history if point.step <= step]
    return measured(before[-1].model_dump(exclude_none=True)) if before else {}


def seq_of(event_id: str) -> int:
    """The number of an event. Raises Invalid for what is none."""
    found = EVENT_ID.fullmatch(event_id)
    if found is None:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
    return int(found[1])
