"""OpenAI's fine-tuning, on the owner's own machine: the same trainings as at the other doors, in OpenAI's words."""

import re
from typing import Any

from flask import Response, request
from pydantic import BaseModel, Field

from blueprints.kit import trainings
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.openai.fine_tuning_views import (
    FineTuningCheckpointsView,
    FineTuningEventsView,
    FineTuningJobsView,
    FineTuningJobView,
    checkpoint_views,
    event_view,
    job_view,
    seq_of,
)
from blueprints.openai.shapes import listed, renamed
from services.contracts.fine_tuning import FineTuningRequest
from services.contracts.jobs import JobView
from services.contracts.training_doors import TrainingsQuery
from services.domains import fine_tuning, training, user_files
from services.errors import Invalid

bp = make_blueprint("openai_fine_tuning", url_prefix="/v1/fine_tuning/jobs", about="OpenAI's surface: fine-tuning")

PREFIX = "ftjob-"
LABEL = re.compile(r"metadata\[(.{1,64})\]")
# What the fields of a training are called here.
OWN_WORDS = {"base_model": "model", "dataset_path": "training_file", "validation_path": "validation_file"}


class FineTuningPath(BaseModel):
    job_id: str = Field(max_length=64, json_schema_extra={"example": "ftjob-550e8400-e29b-41d4-a716-446655440000"})

    @property
    def task_id(self) -> str:
        """The id of the job behind it."""
        return self.job_id.removeprefix(PREFIX)


class FineTuningJobsQuery(BaseModel):
    """Which page of the trainings, the newest first; `metadata[name]=value` finds those with it."""

    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, max_length=64)


class FineTuningEventsQuery(BaseModel):
    """Which page of the events, the newest first."""

    limit: int = Field(20, ge=1, le=1000)
    after: str | None = Field(None, max_length=64, description="The last event of the page before")


class FineTuningCheckpointsQuery(BaseModel):
    limit: int = Field(10, ge=1, le=1000)
    after: str | None = Field(None, max_length=128)


@bp.post("", responses={200: FineTuningJobView})
@mark(limit="training")
def create(body: FineTuningRequest) -> Response:
    """Start to train an adapter for `model` on a file that was uploaded to train with."""
    house, identity = services(), me()
    data = user_files.dataset_of(body.training_file, field="training_file", services=house, identity=identity)
    held = body.validation_file and user_files.dataset_of(
        body.validation_file, field="validation_file", services=house, identity=identity
    )

    def words(job: JobView) -> dict[str, Any]:
        fine_tuning.note(job.id, body, services=house, owner=job.owner)
        return _shown(job.id)

    with renamed(OWN_WORDS):
        return trainings.start(body.training(data, held or None), words)


@bp.get("", responses={200: FineTuningJobsView})
@mark(limit="status")
def list_(query: FineTuningJobsQuery) -> dict[str, Any]:
    """List the caller's trainings, the newest first, whichever door they were started at."""
    after = query.after.removeprefix(PREFIX) if query.after else None
    if labels := _labels():
        ids, more = fine_tuning.labelled(
            labels, limit=query.limit, after=after, services=services(), owner=None if me().is_admin else me().id
        )
        return listed([_shown(job_id) for job_id in ids], has_more=more)
    wanted = TrainingsQuery(limit=query.limit, after=after)
    states, _, following = training.list_(wanted, services=services(), identity=me())
    shown = [job_view(state, fine_tuning.words_of(state.task_id, services=services())) for state in states]
    return listed(shown, has_more=following is not None)


@bp.get("/<string:job_id>", responses={200: FineTuningJobView})
@mark(limit="status")
def show(path: FineTuningPath) -> dict[str, Any]:
    """Show how a training stands; `fine_tuned_model` can be chatted with as soon as it has a name."""
    return _shown(path.task_id)


@bp.post("/<string:job_id>/cancel", responses={200: FineTuningJobView})
@mark(limit="default")
def cancel(path: FineTuningPath) -> dict[str, Any]:
    """Cancel a training; what it has learned until then is kept as a model."""
    return _stop(path.task_id, paused=False)


@bp.post("/<string:job_id>/pause", responses={200: FineTuningJobView})
@mark(limit="default")
def pause(path: FineTuningPath) -> dict[str, Any]:
    """Pause a training: it stops with a checkpoint, and frees what it held until it is resumed."""
    return _stop(path.task_id, paused=True)


@bp.post("/<string:job_id>/resume", responses={200: FineTuningJobView})
@mark(limit="default")
def resume(path: FineTuningPath) -> dict[str, Any]:
    """Let a paused training go on from its checkpoint, under the same id."""
    state = training.glance(path.task_id, services=services(), identity=me())
    fine_tuning.resume(state, services=services())
    return _shown(path.task_id)


@bp.get("/<string:job_id>/events", responses={200: FineTuningEventsView})
@mark(limit="status")
def list_events(path: FineTuningPath, query: FineTuningEventsQuery) -> dict[str, Any]:
    """List what happened in a training, the newest first: its loss, its checkpoints, what it said."""
    training.glance(path.task_id, services=services(), identity=me())
    before = seq_of(query.after) if query.after else None
    found = services().jobs.newest_events(path.task_id, before=before, limit=query.limit + 1)
    shown = [event_view(event) for event in found[: query.limit]]
    return listed(shown, has_more=len(found) > query.limit)


@bp.get("/<string:job_id>/checkpoints", responses={200: FineTuningCheckpointsView})
@mark(limit="status")
def list_checkpoints(path: FineTuningPath, query: FineTuningCheckpointsQuery) -> dict[str, Any]:
    """List the checkpoints of a training that can be called: the newest, which is the model itself."""
    state = training.status(path.task_id, services=services(), identity=me())
    found = checkpoint_views(state, fine_tuning.checkpoints(path.task_id, services=services()))
    ids = [each["id"] for each in found]
    if query.after is not None and query.after not in ids:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
    rest = found[ids.index(query.after) + 1 :] if query.after else found
    return listed(rest[: query.limit], has_more=len(rest) > query.limit)


def _shown(task_id: str) -> dict[str, Any]:
    state = training.glance(task_id, services=services(), identity=me())
    return job_view(state, fine_tuning.words_of(task_id, services=services()))


def _stop(task_id: str, *, paused: bool) -> dict[str, Any]:
    state = training.glance(task_id, services=services(), identity=me())
    fine_tuning.stop(state, paused=paused, services=services())
    return _shown(task_id)


def _labels() -> dict[str, str]:
    """What `metadata[name]=value` asks for."""
    found = ((LABEL.fullmatch(name), value) for name, value in request.args.items())
    return {match[1]: value for match, value in found if match}
