"""Measuring what a training was worth: what is asked for, and the two sides of the answer."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from services.contracts.times import UtcTime


class EvaluateRequest(BaseModel):
    """Without a data set the model's own, of the version that it saw, is measured on what it did not learn."""

    dataset_path: str | None = Field(None, min_length=1, max_length=512, examples=["/data/processed/sample"])
    dataset_version: int | None = Field(None, ge=1)
    max_rows: int = Field(200, ge=1, le=10_000, description="Rows whose loss is measured, or pictures looked at")
    max_generated_rows: int = Field(50, ge=0, le=1000, description="Of these, rows that the model answers itself")
    seed: int = Field(42, ge=0, lt=2**32, description="Which pictures are taken where there are more")


class EvaluateOrder(EvaluateRequest):
    """An evaluation whose model and data set were found for its caller."""

    model: str


class Evaluation(BaseModel):
    """The base and the tuned model side by side.

    Text has `loss`, `perplexity`, `exact_match` and `rouge_l`; classes have `accuracy` and `f1_score` (macro).
    """

    kind: Literal["text", "classes"]
    base: dict[str, Any] = Field(examples=[{"loss": 3.2, "perplexity": 24.5, "exact_match": 0.0, "rouge_l": 0.12}])
    tuned: dict[str, Any] = Field(examples=[{"loss": 1.1, "perplexity": 3.0, "exact_match": 0.4, "rouge_l": 0.71}])
    better: Literal["base", "tuned", "same"] = Field(description="By the loss, of classes by F1 and accuracy")
    rows: int
    split: str = Field(examples=["test"])
    generated_rows: int = 0
    cut_rows: int = 0
    dataset_id: str = ""
    dataset_name: str = ""
    dataset_version: int | None = None
    seed: int = 42
    seconds: float = 0
    evaluated_at: UtcTime | None = None
    notes: list[dict[str, str]] = Field([], description="What has to be known to read it, by language")


class EvaluationView(Evaluation):
    """An evaluation that has ended; it is kept with the model."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["completed"])
    model: str = Field(examples=["sample-1f0c9a2b"])
