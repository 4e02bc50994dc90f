"""Trainings: what one is asked for at whichever door, what it tells while it runs, and what it leaves."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.models import Ability
from services.contracts.times import UtcTime

Quantization = Literal["int8", "int4"]
Kind = Literal["lora", "image_classifier", "merged"]


class LoraParameters(BaseModel):
    """The shape of an adapter. Source: Hu et al., 2021, arXiv:2106.09685."""

    r: int = Field(8, ge=1, le=256)
    lora_alpha: float = Field(16, gt=0, le=4096)
    lora_dropout: float = Field(0.05, ge=0, lt=1)


class TrainingRequest(BaseModel):
    """One training, as its job keeps it; every door makes this of its own body."""

    trainer: Literal["lora", "image_classifier"]
    base_model: str
    dataset_path: str
    """A reference as `DatasetStore.locate` takes it; a job has the data set's id where it has one."""
    dataset_version: int | None = None
    validation_path: str | None = None
    """The id of a data set of the same kind and shape, whose rows are looked at and never learned from."""
    output_dir: str = "models/checkpoints"
    name: str | None = Field(None, max_length=64)
    """What people call the result; OpenAI's `suffix`. The data set's name otherwise."""
    description: str = Field("", max_length=2000)
    epochs: int = Field(3, ge=1, le=1000)
    batch_size: int = Field(8, ge=1, le=1024)
    learning_rate: float = Field(3e-5, gt=0, le=1)
    save_steps: int = Field(500, ge=1)
    """A checkpoint and a look at the validation rows come at least so often, and each epoch and each minute."""
    max_length: int = Field(512, ge=8, le=131_072)
    """Tokens of a row; what is longer is cut at its end, and counted."""
    gradient_accumulation_steps: int = Field(1, ge=1, le=1024)
    packing: bool = False
    gradient_checkpointing: bool = False
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=1)
    seed: int = Field(42, ge=0, lt=2**32)
    quantization: Quantization | None = None
    lora: LoraParameters = LoraParameters()
    freeze_backbone: bool = True
    augmentation: bool = True
    class_weights: bool = True


class TrainingMetrics(BaseModel):
    """What a running training tells with its progress; a trainer tells those that it knows."""

    model_config = ConfigDict(extra="allow")

    epoch: float | None = Field(None, examples=[1.5])
    current_epoch: int | None = None
    total_epochs: int | None = None
    current_step: int | None = None
    total_steps: int | None = None
    train_loss: float | None = Field(None, examples=[2.1543])
    val_loss: float | None = None
    perplexity: float | None = None
    learning_rate: float | None = Field(None, examples=[2.8e-5])
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    memory_mb: float | None = None
    accuracy: float | None = None
    f1_score: float | None = None


class NewModel(BaseModel):
    """A model that was made here, as its maker hands it over to be listed."""

    owner: str
    name: str
    kind: Kind
    job_id: str
    path: str = Field(examples=["models/checkpoints/sample/final"])
    location: str
    """Where it lies below MODELS_DIR."""
    engine: str
    abilities: list[Ability]
    base_model: str
    base_revision: str = ""
    adapter: bool = False
    """Whether it answers together with its base's weights."""
    dataset_id: str = ""
    dataset_name: str = ""
    dataset_version: int | None = None
    description: str = ""
    training_config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    parity: dict[str, Any] = {}


class TrainedModelsQuery(BaseModel):
    """Which page of the trained models."""

    limit: int | None = Field(None, ge=1, le=100)
    after: str | None = None


class TrainedModelView(BaseModel):
    """A trained model as system 5 lists it."""

    id: str = Field(examples=["sample-1f0c9a2b"])
    name: str = Field(examples=["sample"])
    path: str = Field(examples=["models/checkpoints/sample/final"])
    base_model: str = Field(examples=["smollm2-135m-instruct"])
    created_at: UtcTime
    size_mb: float = Field(examples=[256])
    description: str


class ModelCard(TrainedModelView):
    """All that is known of a trained model: where it comes from, how good it is, and how much it is used."""

    kind: Kind | Literal["installed"]
    openai_name: str = Field(examples=["ft:smollm2-135m-instruct:lin:sample:1f0c9a2b"])
    abilities: list[Ability]
    engine: str
    base_revision: str = ""
    dataset_id: str = ""
    dataset_name: str = ""
    dataset_version: int | None = None
    job_id: str = ""
    training_config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    parity: dict[str, Any] = {}
    last_used: UtcTime | None = None
    usage_count: int = 0
