"""System 2: one request paints, waits, and answers with what its client shows."""

import re
from typing import Any

from flask import Response, current_app, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import services
from blueprints.kit.marks import mark
from blueprints.kit.problems import now
from blueprints.kit.validation import as_error
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.images import ImageRequest, ImageResult
from services.contracts.jobs import JobView
from services.errors import Invalid, NotFound
from services.providers import find_provider

bp = make_blueprint("generate", url_prefix="/api", about="Pictures as the web image UI asks for them (system 2)")

# What system 1 sends. Each body is judged by the view that has it by name.
FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}
SIZE = re.compile(r"(\d{1,5})[x*×](\d{1,5})")


class WebImageRequest(BaseModel):
    """What system 2 asks: `size` or `width` and `height`; more parameters of the model in `parameters`."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompt": "A lighthouse at dusk", "model": "demo"}})

    prompt: str = Field(min_length=1)
    model: str | None = Field(None, max_length=256)
    provider: str | None = Field(None, max_length=64, description="Such as `qwen` or `doubao`, where no model is named")
    config_id: str | None = Field(None, max_length=64, description="The stored configuration that is to be used")
    negative_prompt: str = ""
    size: str | None = Field(None, max_length=32, examples=["1024x1024"])
    width: int | None = None
    height: int | None = None
    n: int = 1
    seed: int | None = None
    parameters: dict[str, Any] = Field({}, description="Such as `num_inference_steps` and `guidance_scale`")


class WebImageView(BaseModel):
    """What was painted; `id` is the row of the history."""

    id: str = Field(examples=["history-0123456789abcdef"])
    prompt: str
    image_urls: list[str] = Field(examples=[["/outputs/images/0123456789abcdef0123456789abcdef.png"]])
    timestamp: str = Field(examples=["2026-11-21T05:00:00Z"])
    model: str
    parameters: dict[str, Any]
    provider: str


@bp.post("/images/generate", responses={200: WebImageView, 202: AcceptedView})
@mark(limit="generation")
def paint(body: WebImageRequest) -> Response:
    """Paint pictures, keep them, and answer when they are there."""
    return _painted(body)


@bp.post("/generate", responses={200: WebImageView, 202: AcceptedView})
@mark(limit="generation")
def generate() -> Response:
    """Paint pictures, as system 2 asks for it by JSON, or describe some, as system 1 does by a form."""
    target = "annotations.annotate" if request.mimetype in FORMS else "generate.paint"
    found: Any = current_app.view_functions[target]()
    return current_app.make_response(found)


def _painted(body: WebImageRequest) -> Response:
    # A retry with the same words is the same request, whichever configuration is active by then.
    return answer("images.generate", to_image_request(body), show=lambda result, job: view(body.prompt, result, job))


def to_image_request(body: WebImageRequest) -> ImageRequest:
    """System 2's request in our words. Raises Invalid with the field that is wrong."""
    width, height = _size(body.size) if body.size else (body.width, body.height)
    words = {
        **body.parameters,
        **body.model_dump(include={"prompt", "negative_prompt", "n", "config_id"}),
        **{
            name: value
            for name, value in (("width", width), ("height", height), ("seed", body.seed))
            if value is not None
        },
        "model_id": _model(body),
        "image": None,
    }
    try:
        return ImageRequest.model_validate(words)
    except ValidationError as error:
        raise as_error(error.errors(include_url=False)) from error


def view(prompt: str, result: ImageResult, job: JobView) -> dict[str, Any]:
    """What was painted in system 2's words."""
    return {
        "id": result.history_id or job.id,
        "prompt": prompt,
        "image_urls": result.urls,
        "timestamp": now(),
        "model": result.model,
        "parameters": result.parameters,
        "provider": result.provider,
    }


def _size(text: str) -> tuple[int, int]:
    found = SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise Invalid("size", "'size' is width x height, such as 1024x1024.", "'size' 的格式为 宽x高，例如 1024x1024。")
    return int(found[1]), int(found[2])


def _model(body: WebImageRequest) -> str | None:
    """The model that is meant: named, named for a provider, or a provider's first that paints."""
    if not body.provider or body.config_id:
        return body.model
    kind = find_provider(body.provider)
    if kind is None:
        raise NotFound("There is no provider {name}.", "没有服务商 {name}。", name=repr(body.provider))
    if body.model:
        return body.model if "/" in body.model else f"{kind.name}/{body.model}"
    rows = services().catalog.rows("text-to-image")
    return next((row.id for row in rows if row.provider == kind.name and not row.retired), f"{kind.name}/default")
