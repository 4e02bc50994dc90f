"""Fine-tunings as OpenAI's clients ask for them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from services.contracts.training import TrainingRequest

EPOCHS, BATCH_SIZE, LEARNING_RATE = 3, 4, 2e-4
# A hundred times the rate that is usual for an adapter never learns.
HIGHEST_MULTIPLIER = 100.0
MOST_LABELS, LONGEST_LABEL, LONGEST_VALUE = 16, 64, 512


def _auto_as_none(value: Any) -> Any:
    return None if value == "auto" else value


def _refuse(value: Any) -> Any:
    """What is not supported may be sent as nothing."""
    if value:
        raise PydanticCustomError("unsupported", "it is not supported")
    return value


Epochs = Annotated[Annotated[int, Field(ge=1, le=1000)] | None, BeforeValidator(_auto_as_none)]
BatchSize = Annotated[Annotated[int, Field(ge=1, le=1024)] | None, BeforeValidator(_auto_as_none)]
Multiplier = Annotated[
    Annotated[float, Field(gt=0, le=HIGHEST_MULTIPLIER, allow_inf_nan=False)] | None, BeforeValidator(_auto_as_none)
]


class Hyperparameters(BaseModel):
    """`auto`, or nothing, leaves a number to the service: 3 epochs, batches of 4, and a learning rate of 2e-4."""

    n_epochs: Epochs = Field(None, examples=[3])
    batch_size: BatchSize = Field(None, examples=["auto"])
    learning_rate_multiplier: Multiplier = Field(None, examples=["auto"])


class SupervisedMethod(BaseModel):
    hyperparameters: Hyperparameters = Hyperparameters()


class FineTuningMethod(BaseModel):
    """How is trained: `supervised` alone."""

    type: Literal["supervised", "dpo", "reinforcement"] = "supervised"
    supervised: SupervisedMethod = SupervisedMethod()

    @model_validator(mode="before")
    @classmethod
    def none_is_default(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: part for name, part in value.items() if part is not None}
        return value

    @model_validator(mode="after")
    def is_supervised(self) -> "FineTuningMethod":
        if self.type != "supervised":
            raise PydanticCustomError("unsupported", "only supervised is", {"field": "method.type"})
        return self


Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL)]
LabelValue = Annotated[str, Field(max_length=LONGEST_VALUE)]


class FineTuningRequest(BaseModel):
    """A fine-tuning in OpenAI's words; unknown fields are ignored."""

    model: str = Field(min_length=1, max_length=512, examples=["smollm2-135m-instruct"])
    training_file: str = Field(
        min_length=1, max_length=256, description="A file uploaded with purpose fine-tune, or the id of a data set"
    )
    validation_file: str | None = Field(None, min_length=1, max_length=256)
    suffix: str | None = Field(None, min_length=1, max_length=64, description="Stands in the model's name")
    seed: int | None = Field(None, ge=0, lt=2**32)
    method: FineTuningMethod | None = None
    hyperparameters: Hyperparameters | None = Field(None, description="The older place of `method`'s")
    integrations: Annotated[list[Any] | None, BeforeValidator(_refuse)] = None
    description: str = Field("", max_length=2000, description="Stands on the model's card")
    metadata: dict[Label, LabelValue] | None = Field(None, max_length=MOST_LABELS)

    @property
    def asked(self) -> Hyperparameters:
        """The numbers, from whichever place."""
        if self.method is not None:
            return self.method.supervised.hyperparameters
        return self.hyperparameters or Hyperparameters()

    def training(self, dataset: str, validation: str | None) -> TrainingRequest:
        """The same training as every door asks for, on the data sets that the files became."""
        asked = self.asked
        return TrainingRequest(
            trainer="lora",
            base_model=self.model,
            dataset_path=dataset,
            validation_path=validation,
            name=self.suffix,
            description=self.description,
            epochs=asked.n_epochs or EPOCHS,
            batch_size=asked.batch_size or BATCH_SIZE,
            learning_rate=LEARNING_RATE * (asked.learning_rate_multiplier or 1),
            **({} if self.seed is None else {"seed": self.seed}),
        )
