"""The history of pictures: what was asked, and what came of it."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.times import UtcTime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What a call that made pictures leaves in the history; *parameters* is what a replay needs beside the prompt."""

    owner: str
    prompt: str
    image_urls: list[str]
    model: str
    provider: str
    parameters: dict[str, Any] = field(default_factory=dict)
    job_id: str | None = None


class HistoryRow(BaseModel):
    """One call that made pictures."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["history-0123456789abcdef"])
    prompt: str
    image_urls: list[str] = Field(examples=[["/outputs/images/0123456789abcdef0123456789abcdef.png"]])
    timestamp: UtcTime
    model: str
    parameters: dict[str, Any]
    provider: str


class HistoryView(BaseModel):
    """Rows, the newest first; `count` is how many there are in all."""

    history: list[HistoryRow]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class HistoryQuery(BaseModel):
    """Which rows: all without a limit, as the documented clients know no pages."""

    limit: int | None = Field(None, ge=1, le=100)
    after: str | None = Field(None, max_length=64, description="Id of the last row of the page before")
