"""What a training became, as it is listed among the models."""

from typing import TYPE_CHECKING, Any

from services.compute.progress import Job
from services.contracts.training import NewModel, TrainingRequest
from services.errors import Unavailable
from services.tables.models import TrainedModelTable
from services.trainers import inputs
from services.trainers.base import FINAL, Trained

if TYPE_CHECKING:
    from services.assemble import Services


def register(
    request: TrainingRequest, trained: Trained, place: tuple[str, str], *, services: "Services", job: Job
) -> TrainedModelTable:
    """The model that the training became, listed once, however often it is started again."""
    label, location = place
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
            path=f"{label}/{FINAL}",
            location=f"{location}/{FINAL}",
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
