"""What a training became, as it is listed among the models."""

from typing import TYPE_CHECKING, Any

from services.compute.progress import Job
from services.contracts.training import NewModel, TrainingRequest
from services.contracts.training_doors import Place
from services.tables.models import TrainedModelTable
from services.trainers.base import FINAL, Trained

if TYPE_CHECKING:
    from services.assemble import Services


def register(
    request: TrainingRequest, trained: Trained, place: Place, *, services: "Services", job: Job
) -> TrainedModelTable:
    """The model that the training became, listed once, however often it is started again."""
    metrics = trained.metrics | ({"stopped": True} if trained.stopped else {})
    if there := services.trained.of_job(job.id):
        services.trained.change(there.id, metrics=metrics)
        return services.trained.of_job(job.id) or there
    return services.trained.add(
        NewModel(
            owner=job.owner,
            name=request.name or place.dataset_name,
            kind=request.trainer,
            job_id=job.id,
            path=f"{place.path}/{FINAL}",
            location=f"{place.location}/{FINAL}",
            engine=trained.engine,
            abilities=trained.abilities,
            base_model=request.base_model,
            base_revision=place.base_revision,
            adapter=trained.adapter,
            dataset_id=place.dataset_id,
            dataset_name=place.dataset_name,
            dataset_version=request.dataset_version,
            description=request.description,
            training_config=config_of(request),
            metrics=metrics,
        )
    )


def config_of(request: TrainingRequest) -> dict[str, Any]:
    """The parameters of a training as a model's card shows them, flat and in system 5's words."""
    shown = {"learning_rate", "batch_size", "warmup_ratio", "weight_decay", "seed", "save_steps"}
    config = request.model_dump(include=shown) | {"num_epochs": request.epochs, "trainer": request.trainer}
    if request.trainer == "image_classifier":
        return config | request.model_dump(include={"freeze_backbone", "augmentation", "class_weights"})
    of_text = {"max_length", "gradient_accumulation_steps", "packing", "gradient_checkpointing", "quantization"}
    lora = {"lora_r": request.lora.r, "lora_alpha": request.lora.lora_alpha, "lora_dropout": request.lora.lora_dropout}
    return config | request.model_dump(include=of_text) | lora
