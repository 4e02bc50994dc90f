"""Shapes that OpenAI's routes share: lists in pages, and what a deletion answers."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field


class PageQuery(BaseModel):
    """Which page of a list; the newest comes first unless `order` says otherwise."""

    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, max_length=256, description="The `last_id` of the page before")
    order: Literal["asc", "desc"] = "desc"


class DeletedView(BaseModel):
    """What a deletion answers."""

    id: str
    object: str = Field(examples=["model"])
    deleted: bool = True


def listed(data: Sequence[dict[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """*data* as one page."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
