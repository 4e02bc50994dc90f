"""Merging an adapter into its base: what is asked for, and what comes of it."""

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

Format = Literal["safetensors", "gguf"]
GgufType = Literal["f16", "q8_0"]


class MergeRequest(BaseModel):
    """System 3's merge; `format` and `gguf_type` are what its document leaves open."""

    task_id: str = Field(
        min_length=1, max_length=300, description="Of the training, or the id of its model", examples=["lora_001"]
    )
    output_path: str = Field(
        min_length=1,
        max_length=512,
        description="Where the merged model goes; nothing there is overwritten, it gets a number then",
        examples=["/models/merged_model"],
    )
    format: Format = "safetensors"
    gguf_type: GgufType = Field("f16", description="Of a GGUF file: halves, or blocks of eight bits")
    name: str | None = Field(None, min_length=1, max_length=64, description="What it is called; else as its path ends")
    description: str = Field("", max_length=2000)

    @field_validator("format", "gguf_type", mode="before")
    @classmethod
    def lower(cls, value: object) -> object:
        """`GGUF` and `gguf` are one."""
        return value.strip().lower() if isinstance(value, str) else value


class MergeOrder(MergeRequest):
    """A merge whose adapter was found for its caller: `task_id` is the model's id."""

    output_dir: str
    leaf: str


class MergeRecipe(BaseModel):
    """A merge as the process that does it hears of it."""

    model: str
    """The adapter's id."""
    owner: str
    location: str
    """Where the merged model goes, below MODELS_DIR."""
    format: Format
    gguf_type: GgufType


class Merged(BaseModel):
    """What a merge wrote."""

    engine: str
    dtype: str
    parity: dict[str, Any]


class MergeResult(BaseModel):
    """A merged model as it is listed."""

    model: str
    openai_name: str
    path: str
    engine: str
    parity: dict[str, Any]


class MergeView(BaseModel):
    """The merge has ended; the model answers by its id, its name or its path."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"], description="Of the merge")
    status: str = Field(examples=["completed"])
    output_path: str = Field(examples=["models/merged_model"])
    model: str = Field(examples=["merged_model-1f0c9a2b"])
    openai_name: str
    format: Format
    parity: dict[str, Any] = Field(description="How near it is to the adapter: tokens and logits")
