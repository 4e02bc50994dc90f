"""What was used, summed up."""

from typing import Literal

from pydantic import BaseModel, Field


class UsageQuery(BaseModel):
    by: Literal["model", "day", "user"] = "model"
    days: int = Field(30, ge=1, le=3650, description="How many days back")


class UsageRow(BaseModel):
    key: str = Field(examples=["smollm2-135m-instruct"])
    calls: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    average_first_token_ms: int | None
    average_ms: int


class UsageView(BaseModel):
    by: str
    usage: list[UsageRow]
    count: int
    stored_mb: float = Field(0, examples=[12.5], description="What one's own files take")
    quota_mb: int | None = Field(None, examples=[1024], description="What they may take; null without a bound")
