"""System 5: trainings under `/api/v1`."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit import trainings
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.problems import now, say
from blueprints.kit.trainings import CurveView, MoreView, TrainingPath
from services.contracts.jobs import JobView
from services.contracts.training_doors import TrainStart
from services.domains import training

bp = make_blueprint("trains", url_prefix="/api/v1/train", about="Trainings (system 5)")


class TrainStarted(BaseModel):
    """A training that waits for its turn or runs."""

    task_id: str = Field(examples=["12345678-1234-5678-1234-567812345678"])
    status: str = Field(examples=["started"])
    message: str = Field(examples=["训练任务已启动"])
    created_at: str = Field(examples=["2023-03-08T12:00:00Z"])
    position: int | None = Field(None, examples=[1], description="Place in the queue, 1 is next; null when it runs")
    estimate: dict[str, Any] = Field({}, description="Rows, longest row, and memory needed against what is there")
    warnings: list[str] = []


class TrainShown(MoreView, CurveView):
    """A training as system 5 documents it."""

    task_id: str = Field(examples=["12345678-1234-5678-1234-567812345678"])
    status: str = Field(examples=["running"], description="queued, running, completed, failed or canceled")
    progress: float = Field(examples=[45.5], description="0 to 100")
    metrics: dict[str, Any] = Field(examples=[{"train_loss": 2.1543, "learning_rate": 2.8e-5, "epoch": 1.5}])


class TrainCanceled(BaseModel):
    task_id: str
    status: str = Field(examples=["canceled"])
    message: str = Field(examples=["训练任务已取消"])
    canceled_at: str = Field(examples=["2023-03-08T13:00:00Z"])


@bp.post("", responses={200: TrainStarted})
@mark(limit="training")
def start(body: TrainStart) -> Response:
    """Start to train an adapter for `base_model`, or where none is given for the setting DEFAULT_BASE_MODEL."""
    return trainings.start(body.request(services().settings.default_base_model), started)


@bp.get("/status/<string:task_id>", responses={200: TrainShown})
@mark(limit="default")
def show(path: TrainingPath) -> dict[str, Any]:
    """Tell how a training stands, with the curve of its loss; whichever door it was started at."""
    state = training.status(path.task_id, services=services(), identity=me())
    measured = {"train_loss": trainings.loss_of(state.metrics), "learning_rate": None, "epoch": 0.0}
    return {
        "task_id": state.task_id,
        "status": state.status,
        "progress": state.progress,
        **trainings.more_of(state),
        "metrics": measured | state.metrics,
        "history": trainings.history_of(state),
    }


@bp.post("/cancel/<string:task_id>", responses={200: TrainCanceled})
@mark(limit="default")
def cancel(path: TrainingPath) -> dict[str, Any]:
    """Cancel a training; its newest checkpoint stays."""
    state = training.stop(path.task_id, services=services(), identity=me())
    return {
        "task_id": state.task_id,
        "status": "canceled",
        "message": say("The training was canceled.", "训练任务已取消"),
        "canceled_at": state.model_dump()["finished_at"] or now(),
    }


def started(job: JobView) -> dict[str, Any]:
    """What a start answers."""
    return {
        "task_id": job.id,
        "status": "started",
        "message": say("The training was started.", "训练任务已启动"),
        "created_at": job.model_dump()["created_at"],
    }
