"""One training on its way: where it writes, the process that does it, and what becomes of that when it dies."""

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from services import cancellation
from services.compute import child
from services.compute.progress import Job
from services.contracts.jobs import EventsQuery
from services.contracts.training import TrainingRequest
from services.contracts.training_doors import Place, Recipe
from services.datasets import paths
from services.errors import Cancelled, ServiceError, Unavailable
from services.trainers import checkpoints, inputs
from services.trainers.base import CHECKPOINTS, FINAL, Run, Trained

if TYPE_CHECKING:
    from services.assemble import Services

TRAINED = "trained"
# A trainer that is told to stop ends its step and writes what it has, before the thread of its job is given up.
WORD_SECONDS = 20.0
# Whoever dies so often without a new checkpoint, as by too little memory, will always.
MOST_DEATHS = 3
PARTS: TypeAdapter[Trained] = TypeAdapter(Trained)

log = logging.getLogger(__name__)


def open_run(recipe: Recipe, *, services: "Services", job: Job) -> Run:
    """The run that *recipe* tells of. Raises NotFound and Unavailable when its base or its data set is gone."""
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


def take_place(request: TrainingRequest, *, services: "Services", job: Job) -> Place:
    """Where the training writes, for people and on the disk: a fresh place, or that of its job's earlier life."""
    dataset = inputs.reopen_dataset(request, services=services, owner=job.owner)
    name = paths.plain_name(paths.bare(dataset.path.rpartition("/")[2]), otherwise="run")
    label, location = _earlier_place(services, job) or services.trained.place(job.owner, request.output_dir, name)
    return Place(
        path=label,
        location=location,
        dataset_id=dataset.id,
        dataset_name=dataset.name if dataset.id else paths.bare(dataset.name),
        base_revision=_revision(request.base_model, services),
    )


def _earlier_place(services: "Services", job: Job) -> tuple[str, str] | None:
    """The place that the job had before its owner started it again, which made it forget."""
    told = services.jobs.events(job.id, EventsQuery(type="artifact")) if job.id else []
    for event in reversed(told):
        label, location = str(event.data.get("path", "")), str(event.data.get("location", ""))
        if location and (services.settings.models_dir / location).is_dir():
            return label, location
    return None


def _revision(base_id: str, services: "Services") -> str:
    """Which revision of the base is installed; empty where nobody wrote it down."""
    row = inputs.reopen_base(base_id, services=services)
    try:
        return services.catalog.manifest(row).revision
    except (OSError, ValueError, Unavailable):
        return ""


def train_once(recipe: Recipe, *, services: "Services", curve: Job, job: Job) -> Trained:
    """What the training left, which an earlier attempt of *job* may have finished; a stopped one is not remembered.

    *curve* hears how far it is. Raises what the recipe raises, and Unavailable when its process died again and again;
    of what failed the newest checkpoint stays, from which its owner may start it again.
    """
    folder = services.settings.models_dir / recipe.location

    def make() -> dict[str, Any]:
        # What is there was not finished, or nobody knows that it was; the newest checkpoint is as good.
        shutil.rmtree(folder / FINAL, ignore_errors=True)
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
    except Cancelled:
        raise
    except ServiceError:
        checkpoints.prune(folder / CHECKPOINTS, keep=1)
        raise


def tidy(recipe: Recipe, trained: Trained, *, services: "Services") -> None:
    """Remove what nobody needs of a training whose model is listed: of a finished one every checkpoint.

    A checkpoint is there to go on from, and half of it or more is the optimizer's memory. What has finished cannot be
    started again, and its weights are the model's own. What was stopped keeps its newest, since it may be resumed.
    """
    home = services.settings.models_dir / recipe.location / CHECKPOINTS
    if trained.stopped:
        checkpoints.prune(home, keep=1)
    else:
        shutil.rmtree(home, ignore_errors=True)


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
    home = folder / CHECKPOINTS
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []
