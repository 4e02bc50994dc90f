"""How a blueprint is made, so that each has its tag, its security and its documented errors."""

from collections.abc import Callable
from functools import cache
from typing import Any

from flask_openapi3 import APIBlueprint, OpenAPI, Tag
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


ERRORS: dict[int | str, Any] = dict.fromkeys(
    (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504), ErrorBody
)


class Blueprint(APIBlueprint):
    """An APIBlueprint whose part of the API document is made when somebody reads it, and not at each start.

    Flask-OpenAPI3 makes it while routes are declared, which was a quarter of a worker's start.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._not_described: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []

    def _collect_openapi_info(self, rule: str, func: Callable[..., Any], **options: Any) -> Any:
        self._not_described.append((rule, func, options))
        return super()._collect_openapi_info(rule, func, doc_ui=False)

    def describe_in(self, app: OpenAPI) -> None:
        """Write this blueprint's routes into *app*'s document."""
        while self._not_described:
            rule, func, options = self._not_described.pop(0)
            super()._collect_openapi_info(rule, func, **options)
        app.tags += [tag for tag in self.tags if tag.name not in app.tag_names]
        app.tag_names += [tag.name for tag in self.tags if tag.name not in app.tag_names]
        for path, item in self.paths.items():
            # Another blueprint may answer other methods of the same path.
            known = app.paths.setdefault(path, item)
            for method in item.model_fields_set:
                setattr(known, method, getattr(item, method))
        app.components_schemas.update(self.components_schemas)


def make_blueprint(
    name: str, *, url_prefix: str = "", about: str = "", error: type[BaseModel] = ErrorBody
) -> Blueprint:
    """A blueprint under *url_prefix*, shown in the API document under its name; *error* is what its errors say."""
    return Blueprint(
        name,
        __name__,
        url_prefix=url_prefix,
        abp_tags=[Tag(name=name, description=about)],
        abp_security=[{"bearer": []}],
        abp_responses=dict.fromkeys(ERRORS, error),
    )
