"""Shapes that OpenAI's routes share: lists in pages, and what a deletion answers."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from services.errors import ServiceError


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


def whole_or_streamed(view: type[BaseModel], what: str) -> dict[int | str, Any]:
    """What a route that also streams documents as its answers."""
    content = {
        "application/json": {"schema": inlined_schema(view)},
        "text/event-stream": {},
    }
    return {200: {"description": what, "content": content}}


def inlined_schema(view: type[BaseModel]) -> Any:
    """The schema of *view*, with the parts that it refers to inside of it."""
    schema = view.model_json_schema()
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """*schema* with its references replaced by the *parts* that they name."""
    if isinstance(schema, list):
        return [_inlined(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {name: _inlined(each, parts) for name, each in schema.items()}


@contextmanager
def renamed(words: dict[str, str]) -> Iterator[None]:
    """Errors inside name their fields by *words*, from the house's to those of the surface."""
    try:
        yield
    except ServiceError as error:
        if (field := error.details.get("field")) in words:
            error.details["field"] = words[field]
        raise


def listed(data: Sequence[dict[str, Any]], *, has_more: bool = False) -> dict[str, Any]:
    """*data* as one page."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def epoch(at: datetime | None) -> int | None:
    """*at*, which is UTC without a zone, in seconds since 1970."""
    return None if at is None else int(at.replace(tzinfo=UTC).timestamp())


def new_id(kind: str) -> str:
    """A fresh id of *kind*, which begins it."""
    return f"{kind}-{secrets.token_hex(12)}"
