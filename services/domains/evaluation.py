"""Evaluations: what a training was worth, measured on rows that it did not learn and kept with its model."""

from typing import TYPE_CHECKING

from services.compute import child
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.evaluation import EvaluateOrder, EvaluateRequest, Evaluation
from services.datasets.store import DatasetStore, Located
from services.errors import Conflict, NotFound
from services.measures import side_by_side
from services.measures.side_by_side import Measuring
from services.tables.models import TrainedModelTable
from services.trainers import origins
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

FIELD = "dataset_path"


def order(name: str, request: EvaluateRequest, *, services: "Services", identity: Identity) -> EvaluateOrder:
    """*request* with its model and its data set found for *identity*.

    Raises NotFound, also for another's and for a data set that is gone, Malformed for a path outside, Unavailable when
    the base is not installed, and Conflict for a model that nothing was trained for.
    """
    owner = None if identity.is_admin else identity.id
    model = services.trained.find(name, owner=owner)
    origins.base_of(model, services=services)
    if not services.trained.folder(model).is_dir():
        raise Conflict("The files of this model are gone.", "该模型的文件已丢失。", details={"reason": "files_gone"})
    told = request.model_dump()
    if request.dataset_path is None:
        origins.dataset_of(model, services=services)
    else:
        found = _locate(request, services, identity)
        told |= {FIELD: found.id or found.path, "dataset_version": found.version if found.card else None}
    return EvaluateOrder(model=model.id, **told)


def _locate(request: EvaluateRequest, services: "Services", identity: Identity) -> Located:
    """The data set that the caller names; an admin's own comes before others' of the same name."""
    store = DatasetStore(services.database, services.settings)
    assert request.dataset_path is not None
    try:
        return store.locate(request.dataset_path, owner=identity.id, version=request.dataset_version)
    except NotFound:
        if not identity.is_admin:
            raise
        return store.locate(request.dataset_path, owner=None, version=request.dataset_version)


@function(needs_engine=True, lane="gpu", attempts=2)
def evaluate(request: EvaluateOrder, *, services: "Services", job: Job = SILENT) -> Evaluation:
    """Measure a model beside its base, and keep the result with it. Raises NotFound when one of them is gone."""
    measured: Evaluation = child.run("evaluation.measure", request, services=services, job=job)
    told = measured.model_copy(update={"evaluated_at": utc_now()})
    services.trained.change(request.model, evaluation=told.model_dump(mode="json"))
    return told


@function(needs_engine=True, lane="gpu")
def measure(request: EvaluateOrder, *, services: "Services", job: Job = SILENT) -> Evaluation:
    """The part of an evaluation that has a process of its own."""
    model = services.trained.find(request.model, owner=None)
    asked = Measuring(
        folder=services.trained.folder(model),
        base=services.catalog.path(origins.base_of(model, services=services)),
        adapter=model.adapter,
        dataset=_dataset(request, model, services, job.owner),
        own=request.dataset_path is None,
        request=request,
        settings=services.settings,
        max_length=int(model.training_config.get("max_length") or 512),
        parts_seed=int(model.training_config.get("seed") or 0),
        job=job,
    )
    return side_by_side.of_text(asked) if "chat" in model.abilities else side_by_side.of_classes(asked)


def _dataset(request: EvaluateOrder, model: TrainedModelTable, services: "Services", owner: str) -> Located:
    if request.dataset_path is None:
        return origins.dataset_of(model, services=services)
    store = DatasetStore(services.database, services.settings)
    # It was found for the caller before: an id may be anybody's whom an admin measures for.
    if not request.dataset_path.startswith("data/"):
        return store.located(store.find(request.dataset_path, owner=None, field=FIELD), request.dataset_version)
    return store.locate(request.dataset_path, owner=owner, version=request.dataset_version)
