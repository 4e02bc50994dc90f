"""The doors of training: the bodies that each document shows, and what is told of a training at all of them.

A body has its document's names and defaults and makes one and the same `TrainingRequest`; what the documents
leave open has the names of that.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from services.contracts.datasets import Visible
from services.contracts.jobs import JobStatus
from services.contracts.models import Ability
from services.contracts.numbers import FromOne
from services.contracts.times import UtcTime
from services.contracts.training import LoraParameters, Quantization, TrainingRequest

ModelName = Annotated[str, Field(min_length=1, max_length=512)]
PathText = Annotated[str, Field(min_length=1, max_length=512)]
Epochs = Annotated[int, Field(ge=1, le=1000)]
BatchSize = Annotated[int, Field(ge=1, le=1024)]
LearningRate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
SaveSteps = Annotated[int, Field(ge=1, le=1_000_000)]
MaxLength = Annotated[int, Field(ge=8, le=131_072)]
AccumulationSteps = Annotated[int, Field(ge=1, le=1024)]
LoraRank = Annotated[int, Field(ge=1, le=256)]
LoraAlpha = Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False)]
LoraDropout = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
GivenName = Annotated[Visible, Field(min_length=1, max_length=64)]

# System 3's `model_type`, and what people write in its place.
TRAINERS: dict[str, Literal["lora", "image_classifier"]] = {
    "image_classifier": "image_classifier",
    "image_classification": "image_classifier",
    "classifier": "image_classifier",
    "lora": "lora",
    "qlora": "lora",
    "llm": "lora",
    "text": "lora",
    "causal_lm": "lora",
}


SHAPE = ("lora_r", "lora_alpha", "lora_dropout")


class _More(BaseModel):
    """What no document shows and every door takes."""

    name: GivenName | None = Field(None, description="What the result is called; else it has the data set's name")
    description: str = Field("", max_length=2000)
    dataset_version: FromOne | None = Field(None, description="Of a processed data set; else the newest")
    seed: Seed = 42
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=1)

    def more(self) -> dict[str, Any]:
        return self.model_dump(include=set(_More.model_fields))


class TrainingStart(_More):
    """System 3's training; of `model_type` `image_classifier` a picture classifier, of `lora` an adapter."""

    model_type: str = Field("image_classifier", max_length=64, examples=["image_classifier"])
    base_model: ModelName = Field(examples=["resnet50"])
    dataset_path: PathText = Field(examples=["/datasets/my_dataset"])
    output_dir: PathText = Field("/models/trained", examples=["/models/trained"])
    epochs: Epochs = 10
    batch_size: BatchSize = 8
    learning_rate: LearningRate = 0.0001
    save_steps: SaveSteps = 500
    freeze_backbone: bool = Field(True, description="Train the new head alone before all of it, or instead")
    augmentation: bool = Field(True, description="Turn, crop and colour the pictures at random")
    class_weights: bool = Field(True, description="Let rare classes count as much as common ones")
    max_length: MaxLength = 512
    gradient_accumulation_steps: AccumulationSteps = 1
    lora_r: LoraRank = 8
    lora_alpha: LoraAlpha = 16
    lora_dropout: LoraDropout = 0.05
    quantization: Quantization | None = None

    @field_validator("model_type")
    @classmethod
    def known(cls, value: str) -> str:
        if value.strip().lower() not in TRAINERS:
            raise ValueError(f"one of {', '.join(TRAINERS)} is wanted")
        return value.strip().lower()

    def request(self) -> TrainingRequest:
        """The training that is asked for."""
        told = self.model_dump(exclude={"model_type", "quantization", *SHAPE})
        quantization = self.quantization or ("int4" if self.model_type == "qlora" else None)
        return TrainingRequest(trainer=TRAINERS[self.model_type], lora=_shape(self), quantization=quantization, **told)


class LoraStart(_More):
    """System 3's fine-tuning of a language model by an adapter; QLoRA's body is the same."""

    base_model: ModelName = Field(examples=["llama-2-7b"])
    dataset_path: PathText = Field(examples=["/datasets/instruction_data.jsonl"])
    output_dir: PathText = Field("/models/lora_adapter", examples=["/models/lora_adapter"])
    lora_r: LoraRank = 8
    lora_alpha: LoraAlpha = 16
    lora_dropout: LoraDropout = 0.05
    epochs: Epochs = 3
    batch_size: BatchSize = 4
    learning_rate: LearningRate = 0.0002
    max_length: MaxLength = 512
    gradient_accumulation_steps: AccumulationSteps = 4
    save_steps: SaveSteps = 500
    quantization: Quantization | None = Field(None, description="How the base is held; of QLoRA `int4`")
    packing: bool = Field(False, description="Put several short rows into one sequence")
    gradient_checkpointing: bool = Field(False, description="Less memory, more time")

    def request(self, quantization: Quantization | None = None) -> TrainingRequest:
        """The training that is asked for, with *quantization* where the body says nothing of it."""
        told = self.model_dump(exclude={"quantization", *SHAPE})
        return TrainingRequest(
            trainer="lora", lora=_shape(self), quantization=self.quantization or quantization, **told
        )


def _shape(body: TrainingStart | LoraStart) -> LoraParameters:
    return LoraParameters(r=body.lora_r, lora_alpha=body.lora_alpha, lora_dropout=body.lora_dropout)


class TrainConfig(BaseModel):
    """System 5's `config`."""

    learning_rate: LearningRate = 3e-5
    batch_size: BatchSize = 8
    num_epochs: Epochs = 3
    output_dir: PathText = "./models/checkpoints"
    quantization: Quantization | None = None
    max_length: MaxLength = 512
    gradient_accumulation_steps: AccumulationSteps = 1
    save_steps: SaveSteps = 500
    packing: bool = False
    gradient_checkpointing: bool = False


class TrainLora(BaseModel):
    """System 5's `lora_config`."""

    r: LoraRank = 8
    lora_alpha: LoraAlpha = 16
    lora_dropout: LoraDropout = 0.05


class TrainStart(_More):
    """System 5's training: an adapter for `base_model`, else for the setting DEFAULT_BASE_MODEL."""

    dataset_path: PathText = Field(examples=["/data/processed/sample"])
    base_model: ModelName | None = Field(None, examples=["smollm2-135m-instruct"])
    config: TrainConfig = TrainConfig()
    lora_config: TrainLora = TrainLora()

    @field_validator("config", "lora_config", "base_model", mode="before")
    @classmethod
    def none_is_default(cls, value: Any, info: Any) -> Any:
        """`null` and an empty name stand for what is not given."""
        if value in (None, ""):
            return None if info.field_name == "base_model" else {}
        return value

    def request(self, default_base_model: str) -> TrainingRequest:
        """The training that is asked for."""
        config = self.config.model_dump(exclude={"num_epochs"})
        return TrainingRequest(
            trainer="lora",
            base_model=self.base_model or default_base_model,
            dataset_path=self.dataset_path,
            epochs=self.config.num_epochs,
            lora=LoraParameters(**self.lora_config.model_dump()),
            **config,
            **self.more(),
        )


class TrainingCheck(BaseModel):
    """A training that is looked at before it is queued."""

    request: TrainingRequest
    owner: str


class Place(BaseModel):
    """Where a training writes, and of what it is made: known when it begins, whatever goes away meanwhile."""

    path: str
    """For people: `models/checkpoints/sample`."""
    location: str
    """On the disk, below MODELS_DIR."""
    dataset_id: str
    dataset_name: str
    base_revision: str


class Recipe(BaseModel):
    """A training as the process that does it hears of it: everything is found, nobody is asked again."""

    request: TrainingRequest
    owner: str
    location: str
    """Its folder, below MODELS_DIR."""


class TrainingResult(BaseModel):
    """What a training that has ended left."""

    model: str = Field(examples=["sample-1f0c9a2b"])
    openai_name: str = Field(examples=["ft:smollm2-135m-instruct:lin:sample:1f0c9a2b"])
    name: str
    path: str = Field(examples=["models/checkpoints/sample/final"])
    abilities: list[Ability]
    metrics: dict[str, Any] = {}
    stopped: bool = False


class CurvePoint(BaseModel):
    """What was told at one step, for drawing."""

    step: int
    epoch: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    val_loss: float | None = None
    accuracy: float | None = None


class TrainingState(BaseModel):
    """A training as it stands, in no document's words; `error` is packed as `compute/wire.py` does."""

    task_id: str
    status: JobStatus
    progress: float
    position: int | None
    attempt: int
    request: TrainingRequest
    metrics: dict[str, Any]
    output_path: str | None
    model: TrainingResult | None
    error: dict[str, Any] | None
    history: list[CurvePoint]
    stopping: bool
    created_at: UtcTime
    updated_at: UtcTime
    started_at: UtcTime | None
    finished_at: UtcTime | None


class TrainingsQuery(BaseModel):
    """Which trainings to list, newest first."""

    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, max_length=64, description="Id of the last task of the page before")
    status: JobStatus | None = None
