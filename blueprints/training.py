"""System 3: trainings, started, followed and stopped; and their progress over a WebSocket."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit import trainings
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.conversation import Socket
from blueprints.kit.following import follow
from blueprints.kit.marks import mark
from blueprints.kit.sockets import socket_route
from blueprints.kit.trainings import StartedView, StoppedView, TrainingPath, TrainingShown, TrainingView
from services.contracts.training_doors import TrainingsQuery, TrainingStart
from services.domains import training

bp = make_blueprint("training", about="Trainings and their progress (system 3)")

MOST_BYTES = 4096


class TrainingsShown(BaseModel):
    """A page of trainings; `count` is how many there are in all."""

    tasks: list[TrainingView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


@bp.post("/api/training/start", responses={200: StartedView})
@mark(limit="training")
def start(body: TrainingStart) -> Response:
    """Start a training: an image classifier, or with `model_type` `lora` an adapter of a language model."""
    return trainings.start(body.request())


@bp.get("/api/training/status/<string:task_id>", responses={200: TrainingShown})
@mark(limit="status")
def show(path: TrainingPath) -> dict[str, Any]:
    """Tell how a training stands, with the curve of its loss; whichever door it was started at."""
    return trainings.show(path.task_id)


@bp.post("/api/training/stop/<string:task_id>", responses={200: StoppedView})
@mark(limit="default")
def stop(path: TrainingPath) -> dict[str, Any]:
    """Stop a training; its newest checkpoint stays."""
    return trainings.stop(path.task_id)


@bp.get("/api/training/list", responses={200: TrainingsShown})
@mark(limit="status")
def list_(query: TrainingsQuery) -> dict[str, Any]:
    """List trainings of every kind, the newest first: one's own; an admin sees everybody's."""
    states, count, following = training.list_(query, services=services(), identity=me())
    return {"tasks": [trainings.in_words_of_3(state) for state in states], "count": count, "next": following}


@socket_route(bp, "/ws/training", most_bytes=MOST_BYTES)
def watch(socket: Socket) -> None:
    """Follow trainings over a WebSocket: all of the caller's, or those that `{"type": "subscribe"}` names."""
    follow(socket)
