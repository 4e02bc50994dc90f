"""Adapters become whole models: merged into their base, compared with themselves, and listed when they are the same."""

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from services.compute import child
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.merging import Merged, MergeOrder, MergeRecipe, MergeRequest, MergeResult
from services.contracts.training import NewModel
from services.datasets import paths
from services.datasets.store import Located
from services.errors import Cancelled, Conflict, Invalid, NotFound, ServiceError
from services.tables.models import TrainedModelTable
from services.trained_models import output_place
from services.trainers import origins
from services.trainers.merging import recipe as merging

if TYPE_CHECKING:
    from services.assemble import Services

TRAIN = "training.train"
PLACE, WRITTEN = "place", "written"
FIELD = "task_id"


def order_merge(request: MergeRequest, *, services: "Services", identity: Identity) -> MergeOrder:
    """*request* with its adapter found for *identity*, and all that can be known of its failure before it starts.

    Raises NotFound, also for another's, Conflict for a training that failed or has not ended and for a GGUF file that
    cannot be, Invalid for what is no adapter, Malformed for a path outside, and Unavailable without its base.
    """
    output_dir, leaf = _split(request.output_path)
    services.trained.refuse_inside(identity.id, output_dir)
    model = _adapter(request.task_id, services, identity)
    base = origins.base_of(model, services=services)
    folder = services.catalog.path(base)
    if request.format == "gguf":
        merging.refuse_gguf(folder)
    return MergeOrder(**request.model_dump(exclude={"task_id"}), task_id=model.id, output_dir=output_dir, leaf=leaf)


@function(needs_engine=True, lane="gpu", resumable=True, attempts=2)
def merge(request: MergeOrder, *, services: "Services", job: Job = SILENT) -> MergeResult:
    """Merge an adapter into its base and list what comes of it; nothing is left of a merge that is not the same.

    Raises NotFound when the adapter is gone, and what `merging.run` raises.
    """
    model = services.trained.find(request.task_id, owner=None, field=FIELD)
    label, location = job.once(PLACE, lambda: list(services.trained.place(job.owner, request.output_dir, request.leaf)))
    recipe = MergeRecipe(
        model=model.id, owner=job.owner, location=location, format=request.format, gguf_type=request.gguf_type
    )
    merged = _write_once(recipe, services, job)
    made = services.trained.of_job(job.id) or services.trained.add(
        _listed(request, model, merged, label, location, job)
    )
    return MergeResult(
        model=made.id, openai_name=made.openai_name, path=made.path, engine=made.engine, parity=made.parity
    )


@function(needs_engine=True, lane="gpu")
def write_merged(request: MergeRecipe, *, services: "Services", job: Job = SILENT) -> Merged:
    """Merge and compare; the part of it that has a process of its own."""
    model = services.trained.find(request.model, owner=None)
    return merging.run(
        merging.Merging(
            base=services.catalog.path(origins.base_of(model, services=services)),
            adapter=services.trained.folder(model),
            out=services.settings.models_dir / request.location,
            dataset=_dataset(model, services, job),
            settings=services.settings,
            format=request.format,
            gguf_type=request.gguf_type,
            job=job,
        )
    )


def _write_once(recipe: MergeRecipe, services: "Services", job: Job) -> Merged:
    """What an earlier attempt may have finished; of a merge that failed nothing stays."""

    def make() -> dict[str, object]:
        merged: Merged = child.run("finetuning.write_merged", recipe, services=services, job=job)
        return merged.model_dump()

    try:
        return Merged.model_validate(job.once(WRITTEN, make))
    except Cancelled as error:
        if error.reason == "cancelled":
            _clear(services.settings.models_dir / recipe.location)
        raise
    except ServiceError:
        _clear(services.settings.models_dir / recipe.location)
        raise


def _clear(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)


def _listed(
    request: MergeOrder, model: TrainedModelTable, merged: Merged, label: str, location: str, job: Job
) -> NewModel:
    same = ("base_model", "base_revision", "dataset_id", "dataset_name", "dataset_version", "metrics")
    config = {"merged_from": model.id, "format": request.format, "dtype": merged.dtype}
    return NewModel(
        owner=job.owner,
        name=request.name or PurePosixPath(label).name,
        kind="merged",
        job_id=job.id,
        path=label,
        location=location,
        engine=merged.engine,
        # What transformers loads can be trained further.
        abilities=["chat", "training"] if request.format == "safetensors" else ["chat"],
        description=request.description or f"{model.name} merged into {model.base_model}",
        training_config=model.training_config | config,
        parity=merged.parity,
        **{name: getattr(model, name) for name in same},
    )


def _adapter(reference: str, services: "Services", identity: Identity) -> TrainedModelTable:
    """The adapter that a training left, by the training's job or by the model's own names."""
    owner = None if identity.is_admin else identity.id
    model = _of_training(reference, services, owner)
    model = model or services.trained.look_up(reference, owner=owner, field=FIELD)
    if model is None:
        raise NotFound(
            "There is no training {id} to merge.",
            "训练任务 {id} 不存在，无法合并。",
            details={"field": FIELD},
            id=repr(reference[:80]),
        )
    if model.kind != "lora":
        raise Invalid(
            FIELD,
            "{model} is no adapter; only what was fine-tuned by LoRA or QLoRA is merged.",
            "{model} 不是适配器，只有 LoRA 或 QLoRA 训练的结果可以合并。",
            reason="no_adapter",
            model=model.id,
        )
    return model


def _of_training(job_id: str, services: "Services", owner: str | None) -> TrainedModelTable | None:
    """What the training *job_id* left. Raises Conflict where it left nothing, or nothing yet."""
    try:
        job = services.jobs.show(job_id, owner=owner)
    except NotFound:
        return None
    if job.kind != TRAIN:
        return None
    model = services.trained.of_job(job.id)
    if job.ended and model:
        return model
    states = {
        "failed": ("has failed", "已失败"),
        "canceled": ("was stopped and left nothing", "已停止且没有结果"),
        "completed": ("has no model any more", "的模型已被删除"),
    }
    en, zh = states.get(job.status, ("has not ended", "尚未结束"))
    raise Conflict(
        "The training {state}; there is no adapter to merge.",
        "该训练{state_zh}，没有可合并的适配器。",
        details={"field": FIELD, "reason": job.status},
        state=en,
        state_zh=zh,
    )


def _split(output_path: str) -> tuple[str, str]:
    """The folder and the name of an `output_path`. Raises Malformed for one that is none of the service's models'."""
    told = paths.normal(output_path, field="output_path")
    parent, _, leaf = (told if "/" in told else f"models/{told}").rpartition("/")
    try:
        return output_place(parent), leaf
    except ServiceError as error:
        raise paths.forbidden(output_path, "output_path") from error


def _dataset(model: TrainedModelTable, services: "Services", job: Job) -> Located | None:
    """The data set that the adapter learned; None where it is gone."""
    try:
        return origins.dataset_of(model, services=services)
    except (NotFound, Invalid) as error:
        job.log(f"The data set is not there any more: {error}")
        return None
