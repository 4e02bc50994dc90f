"""Trainings: looked at before they start, run in a process of their own, and listed as models when they have ended.

A training belongs to its job: the place where it writes, the curve of its loss and the result are remembered with
it, so that whoever takes it up after a crash goes on from the newest checkpoint and makes no second model.
"""

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from services import cancellation
from services.compute import child
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.jobs import EventsQuery, JobsQuery, JobView
from services.contracts.training import NewModel, TrainingRequest
from services.contracts.training_doors import (
    CurvePoint,
    Recipe,
    TrainingCheck,
    TrainingResult,
    TrainingsQuery,
    TrainingState,
)
from services.datasets import paths
from services.errors import Conflict, NotFound, Unavailable
from services.tables.models import TrainedModelTable
from services.trainers import inputs
from services.trainers.base import Estimate, Run, Trained, find_trainer
from services.trainers.curve import CURVE, CurveJob

if TYPE_CHECKING:
    from services.assemble import Services

TRAIN = "training.train"
PLACE, TRAINED = "place", "trained"
# A trainer that is told to stop ends its step and writes what it has, before the thread of its job is given up.
WORD_SECONDS = 20.0
# Whoever dies so often without a new checkpoint, as by too little memory, will always.
MOST_DEATHS = 3
PARTS: TypeAdapter[Trained] = TypeAdapter(Trained)

log = logging.getLogger(__name__)


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
    run = _run(Recipe(request=request.request, owner=request.owner, location=""), services, SILENT)
    inputs.refuse_remote_code(run.base, run.base_row.id)
    return find_trainer(request.request.trainer).check(run)


@function(needs_engine=True, lane="gpu", resumable=True, attempts=3)
def train(request: TrainingRequest, *, services: "Services", job: Job = SILENT) -> TrainingResult:
    """Train, and list what comes of it as a model of the job's owner.

    Raises what the trainer raises, Cancelled, and Unavailable when its process died again and again at one place.
    """
    label, location = job.once(PLACE, lambda: _place(request, services, job))
    curve = CurveJob(job)
    try:
        trained = _train_once(Recipe(request=request, owner=job.owner, location=location), services, curve, job)
    finally:
        curve.keep_curve()
    return _listed(_register(request, trained, label, location, services, job), trained)


@function(needs_engine=True, lane="gpu")
def run_recipe(request: Recipe, *, services: "Services", job: Job = SILENT) -> Trained:
    """Train by the recipe of the request's trainer; the part of a training that has a process of its own."""
    return find_trainer(request.request.trainer).train(_run(request, services, job))


def _run(recipe: Recipe, services: "Services", job: Job) -> Run:
    row = inputs.reopen_base(recipe.request.base_model, services=services)
    return Run(
        request=recipe.request,
        base=services.catalog.path(row),
        base_row=row,
        dataset=inputs.reopen_dataset(recipe.request, services=services, owner=recipe.owner),
        folder=services.settings.models_dir / recipe.location,
        settings=services.settings,
        job=job,
    )


def _place(request: TrainingRequest, services: "Services", job: Job) -> list[str]:
    """Where the training writes: the place that it had before its owner started it again, else a fresh one."""
    told = services.jobs.events(job.id, EventsQuery(type="artifact")) if job.id else []
    for event in reversed(told):
        label, location = str(event.data.get("path", "")), str(event.data.get("location", ""))
        if location and (services.settings.models_dir / location).is_dir():
            return [label, location]
    dataset = inputs.reopen_dataset(request, services=services, owner=job.owner)
    name = paths.plain_name(paths.bare(dataset.path.rpartition("/")[2]), otherwise="run")
    label, location = services.trained.place(job.owner, request.output_dir, name)
    job.artifact("place", path=label, location=location)
    return [label, location]


def _train_once(recipe: Recipe, services: "Services", curve: Job, job: Job) -> Trained:
    """What the training left, which an earlier attempt may have finished; a stopped one is not remembered."""
    folder = services.settings.models_dir / recipe.location

    def make() -> dict[str, Any]:
        # What is there was not finished, or nobody knows that it was; the newest checkpoint is as good.
        shutil.rmtree(folder / "final", ignore_errors=True)
        trained = _in_child(recipe, folder, services, curve)
        if trained.stopped:
            raise _Stopped(trained)
        return dataclasses.asdict(trained)

    try:
        return PARTS.validate_python(job.once(TRAINED, make))
    except _Stopped as stopped:
        if (switch := cancellation.current()) and switch.reason != "cancelled":
            switch.check()
        return stopped.trained


class _Stopped(Exception):
    """The training was stopped and left something whole."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.trained = trained


def _in_child(recipe: Recipe, folder: Path, services: "Services", job: Job) -> Trained:
    """Run the recipe in a process of its own; one that died goes on from its checkpoint.

    Raises what the recipe raises, and Unavailable for a process that dies again and again without a new checkpoint.
    """
    known, deaths = _checkpoints(folder), 0
    while True:
        try:
            trained: Trained = child.run(
                "training.run_recipe", recipe, services=services, job=job, word_seconds=WORD_SECONDS
            )
            return trained
        except Unavailable as error:
            now = _checkpoints(folder)
            known, deaths = now, deaths + 1 if now == known else 1
            if "exit_code" not in error.details or deaths >= MOST_DEATHS:
                raise
            log.warning("a trainer's process died; it goes on from its checkpoint", extra={"job": job.id})
            job.log(f"The trainer's process died ({error.details['reason']}); it goes on from its newest checkpoint.")


def _checkpoints(folder: Path) -> list[str]:
    """The names of the checkpoints in *folder*."""
    home = folder / "checkpoints"
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []


def _register(
    request: TrainingRequest, trained: Trained, label: str, location: str, services: "Services", job: Job
) -> TrainedModelTable:
    """The model that the training became, listed once, however often it is started again."""
    metrics = trained.metrics | ({"stopped": True} if trained.stopped else {})
    if there := services.trained.of_job(job.id):
        services.trained.change(there.id, metrics=metrics)
        return services.trained.of_job(job.id) or there
    dataset = inputs.reopen_dataset(request, services=services, owner=job.owner)
    base = inputs.reopen_base(request.base_model, services=services)
    return services.trained.add(
        NewModel(
            owner=job.owner,
            name=request.name or dataset.name,
            kind=request.trainer,
            job_id=job.id,
            path=f"{label}/final",
            location=f"{location}/final",
            engine=trained.engine,
            abilities=trained.abilities,
            base_model=base.id,
            base_revision=_revision(base.id, services),
            adapter=trained.adapter,
            dataset_id=dataset.id,
            dataset_name=dataset.name,
            dataset_version=request.dataset_version,
            description=request.description,
            training_config=config_of(request),
            metrics=metrics,
        )
    )


def _revision(base_id: str, services: "Services") -> str:
    """Which revision of the base is installed; empty where nobody wrote it down."""
    row = inputs.reopen_base(base_id, services=services)
    try:
        return services.catalog.manifest(row).revision
    except (OSError, ValueError, Unavailable):
        return ""


def config_of(request: TrainingRequest) -> dict[str, Any]:
    """The parameters of a training as a model's card shows them, flat and in system 5's words."""
    shown = {"learning_rate", "batch_size", "warmup_ratio", "weight_decay", "seed", "save_steps"}
    config = request.model_dump(include=shown) | {"num_epochs": request.epochs, "trainer": request.trainer}
    if request.trainer == "image_classifier":
        return config | request.model_dump(include={"freeze_backbone", "augmentation", "class_weights"})
    of_text = {"max_length", "gradient_accumulation_steps", "packing", "gradient_checkpointing", "quantization"}
    lora = {"lora_r": request.lora.r, "lora_alpha": request.lora.lora_alpha, "lora_dropout": request.lora.lora_dropout}
    return config | request.model_dump(include=of_text) | lora


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
        output_path=place[0] if place else None,
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


def _owner(identity: Identity) -> str | None:
    return None if identity.is_admin else identity.id
