"""Trainings: looked at before they start, run in a process of their own, and listed as models when they have ended.

A training belongs to its job: the place where it writes, the curve of its loss and the result are remembered with
it, so that whoever takes it up after a crash goes on from the newest checkpoint and makes no second model.
"""

from typing import TYPE_CHECKING

from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.jobs import JobsQuery, JobView
from services.contracts.training import TrainingRequest
from services.contracts.training_doors import (
    CurvePoint,
    Place,
    Recipe,
    TrainingCheck,
    TrainingResult,
    TrainingsQuery,
    TrainingState,
)
from services.errors import Conflict, Invalid, NotFound
from services.tables.models import TrainedModelTable
from services.trainers import inputs, listing, running
from services.trainers.base import Estimate, Trained, find_trainer
from services.trainers.curve import CURVE, CurveJob

if TYPE_CHECKING:
    from services.assemble import Services

TRAIN = "training.train"
PLACE = "place"


def prepare(request: TrainingRequest, *, services: "Services", identity: Identity) -> tuple[TrainingRequest, Estimate]:
    """*request* with its base and its data set found for *identity*, and what is known of it before it starts.

    Raises all that can be known of its failure: NotFound, Unavailable, Malformed, and Invalid with the wrong field.
    """
    resolved = _resolve(request, services, identity)
    asked = TrainingCheck(request=resolved, owner=identity.id)
    estimate: Estimate = services.calls.call("training.check", asked, services=services)
    return resolved, estimate


def _resolve(request: TrainingRequest, services: "Services", identity: Identity) -> TrainingRequest:
    """An admin's own things come before others' of the same name."""
    if request.trainer == "image_classifier" and request.validation_path is not None:
        raise _has_own_parts()
    try:
        return inputs.resolve(request, services=services, owner=identity.id)
    except NotFound:
        if not identity.is_admin:
            raise
        return inputs.resolve(request, services=services, owner=None)


@function(needs_engine=True, lane="gpu")
def check(request: TrainingCheck, *, services: "Services") -> Estimate:
    """What is known of a training before it starts; looked at where the engines are.

    Raises what the trainer's own check raises.
    """
    recipe = Recipe(request=request.request, owner=request.owner, location="")
    run = running.open_run(recipe, services=services, job=SILENT)
    inputs.refuse_remote_code(run.base, run.base_row.id)
    return find_trainer(request.request.trainer).check(run)


@function(needs_engine=True, lane="gpu", resumable=True, attempts=3)
def train(request: TrainingRequest, *, services: "Services", job: Job = SILENT) -> TrainingResult:
    """Train, and list what comes of it as a model of the job's owner.

    Raises what the trainer raises, Cancelled, and Unavailable when its process died again and again at one place.
    """
    place = _place(request, services, job)
    curve = CurveJob(job)
    try:
        recipe = Recipe(request=request, owner=job.owner, location=place.location)
        trained = running.train_once(recipe, services=services, curve=curve, job=job)
    finally:
        curve.keep_curve()
    model = listing.register(request, trained, place, services=services, job=job)
    running.tidy(recipe, trained, services=services)
    return _listed(model, trained)


def _place(request: TrainingRequest, services: "Services", job: Job) -> Place:
    """Where the training writes, taken once and told to whoever follows it."""

    def take() -> dict[str, str]:
        taken = running.take_place(request, services=services, job=job)
        job.artifact("place", path=taken.path, location=taken.location)
        return taken.model_dump()

    return Place.model_validate(job.once(PLACE, take))


@function(needs_engine=True, lane="gpu")
def run_recipe(request: Recipe, *, services: "Services", job: Job = SILENT) -> Trained:
    """Train by the recipe of the request's trainer; the part of a training that has a process of its own."""
    return find_trainer(request.request.trainer).train(running.open_run(request, services=services, job=job))


def status(task_id: str, *, services: "Services", identity: Identity) -> TrainingState:
    """How a training stands, with its curve. Raises NotFound, also for another's and for a job of another kind."""
    return _state(_find(task_id, services, identity), services)


def list_(
    query: TrainingsQuery, *, services: "Services", identity: Identity
) -> tuple[list[TrainingState], int, str | None]:
    """A page of trainings, the newest first, how many there are in all, and where the next page begins."""
    wanted = JobsQuery(kind=TRAIN, **query.model_dump())
    page = services.jobs.list_(wanted, owner=_owner(identity))
    return [_state(job, services, curve=False) for job in page.jobs], page.count, page.next


def stop(task_id: str, *, services: "Services", identity: Identity) -> TrainingState:
    """Ask a training to end; it keeps its newest checkpoint. Raises NotFound, and Conflict for one that has ended."""
    job = _find(task_id, services, identity)
    if job.status in {"completed", "failed"}:
        raise _has_ended(job)
    job = services.jobs.cancel(job.id)
    if job.status in {"completed", "failed"}:
        raise _has_ended(job)
    return _state(job, services)


def glance(task_id: str, *, services: "Services", identity: Identity) -> TrainingState:
    """How a training stands, without its curve. Raises NotFound."""
    return _state(_find(task_id, services, identity), services, curve=False)


def _find(task_id: str, services: "Services", identity: Identity) -> JobView:
    try:
        job = services.jobs.show(task_id, owner=_owner(identity))
    except NotFound:
        job = None
    if job is None or job.kind != TRAIN:
        raise NotFound("There is no training {id}.", "训练任务 {id} 不存在。", id=repr(task_id[:80]))
    return job


def _state(job: JobView, services: "Services", *, curve: bool = True) -> TrainingState:
    request, memory = services.jobs.asked(job.id)
    assert isinstance(request, TrainingRequest)
    same = ("status", "attempt", "metrics", "error", "created_at", "updated_at", "started_at", "finished_at")
    place = memory.get(PLACE)
    model = services.trained.of_job(job.id) if job.ended else None
    return TrainingState(
        task_id=job.id,
        request=request,
        progress=100 if job.status == "completed" else job.progress,
        position=job.queue_position,
        output_path=place["path"] if place else None,
        model=_listed(model) if model else None,
        history=[CurvePoint(**point) for point in memory.get(CURVE, [])] if curve else [],
        stopping=job.cancel_requested and not job.ended,
        **{name: getattr(job, name) for name in same},
    )


def _listed(model: TrainedModelTable, trained: Trained | None = None) -> TrainingResult:
    told = {name: getattr(model, name) for name in ("openai_name", "name", "path", "abilities", "metrics")}
    stopped = trained.stopped if trained else bool(model.metrics.get("stopped"))
    return TrainingResult(model=model.id, stopped=stopped, **told)


def _has_ended(job: JobView) -> Conflict:
    words = {"completed": ("has ended", "已完成"), "failed": ("has failed", "已失败")}
    en, zh = words[job.status]
    return Conflict(
        f"The training {en} already; there is nothing to stop.",
        f"训练任务{zh}，无需停止。",
        details={"reason": job.status},
    )


def _has_own_parts() -> Invalid:
    return Invalid(
        "validation_path",
        "A picture classifier takes no second data set; put the pictures to validate with into the folder val/ of "
        "the one it learns from, with a folder a class.",
        "图像分类不支持单独的验证数据集；请将验证图片放入训练数据集的 val/ 文件夹，每类一个子文件夹。",
        reason="own_parts",
    )


def _owner(identity: Identity) -> str | None:
    return None if identity.is_admin else identity.id
