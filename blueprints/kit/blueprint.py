"""How a blueprint is made, so that each has its tag, its security and its documented errors."""

from functools import cache
from typing import Any

from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    code: str = Field(examples=["NOT_FOUND"])
    message: str
    details: dict[str, Any] = {}
    type: str = Field(examples=["not_found_error"])
    param: str | None = None


class ErrorBody(BaseModel):
    """The one body of every error, for the clients of all five systems and for OpenAI's SDK."""

    detail: str
    error: ErrorDetail
    timestamp: str = Field(examples=["2026-11-21T05:00:00Z"])
    request_id: str = Field(examples=["req-0123456789abcdef"])

    @classmethod
    @cache
    def model_json_schema(cls, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """The schema, made once: each route's document asks for it eight times, which was half of a start."""
        return super().model_json_schema(**options)


ERRORS: dict[int | str, Any] = dict.fromkeys((400, 401, 403, 404, 422, 429, 500, 503), ErrorBody)


def make_blueprint(name: str, *, url_prefix: str = "", about: str = "") -> APIBlueprint:
    """A blueprint under *url_prefix*, shown in the API document under its name."""
    return APIBlueprint(
        name,
        __name__,
        url_prefix=url_prefix,
        abp_tags=[Tag(name=name, description=about)],
        abp_security=[{"bearer": []}],
        abp_responses=dict(ERRORS),
    )
