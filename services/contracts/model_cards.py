"""A model as OpenAI's and Anthropic's packages list it, with what it can do and what it was made of."""

from typing import Literal

from pydantic import BaseModel, Field

from services.contracts.models import Ability
from services.contracts.times import UtcTime


class LineageView(BaseModel):
    """What a model was made of here."""

    kind: str = Field(examples=["lora"])
    base_model: str = Field(examples=["smollm2-135m-instruct"])
    base_revision: str = ""
    dataset_id: str = ""
    dataset_name: str = ""
    dataset_version: int | None = None
    job_id: str


class OpenAIModelView(BaseModel):
    """One model. The first four keys are OpenAI's, `type`, `display_name` and `created_at` Anthropic's."""

    id: str = Field(examples=["smollm2-135m-instruct"])
    object: Literal["model"] = "model"
    created: int = Field(description="When its weights came here, in epoch seconds; 0 for a model elsewhere")
    owned_by: str = Field(examples=["local"])
    type: Literal["model"] = "model"
    display_name: str
    created_at: UtcTime
    description: str = ""
    capabilities: list[Ability]
    provider: str = Field(examples=["local"])
    licence: str
    installed: bool = Field(description="Weights are here, or none are needed")
    available: bool = Field(description="Installed, and its provider has the operator's key")
    retired: bool = False
    size_mb: float | None = None
    aliases: list[str] = Field([], description="Other names that mean it")
    parent: str | None = Field(None, description="The model it was trained from")
    lineage: LineageView | None = None


class OpenAIModelsView(BaseModel):
    """Every model that the caller can name."""

    object: Literal["list"] = "list"
    data: list[OpenAIModelView]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False
