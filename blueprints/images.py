"""System 3: pictures from words, and from words and a picture."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field, RootModel

from blueprints.kit import generation
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import services
from blueprints.kit.marks import mark
from blueprints.kit.validation import FormModel, Upload
from blueprints.kit.waiting import submit
from services.contracts.images import ImageFile, ImageRequest, ImageResult
from services.contracts.models import ModelView
from services.domains import models

bp = make_blueprint("images", url_prefix="/api", about="Pictures from words and from pictures (system 3)")
PAINT = "images.generate"


class TaskPath(BaseModel):
    task_id: str = Field(max_length=64)


class ImageForm(FormModel, ImageRequest):
    """`image` is the picture that is to be changed; the other fields are those of text to image."""

    image: Upload  # type: ignore[assignment]


class ImageTaskView(BaseModel):
    """A picture in the making; `images` holds all of them where several were asked for."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["processing"], description="processing, completed, failed or canceled")
    image_url: str | None = Field(None, examples=["/outputs/images/0123456789abcdef0123456789abcdef.png"])
    progress: float = Field(0, examples=[0], description="0 to 100")
    images: list[ImageFile] = []
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    model: str | None = None
    error: dict[str, Any] | None = None


class PaintersView(RootModel[list[ModelView]]):
    """Every model that paints from words."""


@bp.post("/text-to-image/generate", responses={200: ImageTaskView})
@mark(limit="generation")
def paint(body: ImageRequest) -> Response:
    """Start to paint what a prompt says; `status` tells how far it is (`Prefer: wait=N` waits for it here)."""
    return generation.start(submit(PAINT, body), shown)


@bp.get("/text-to-image/status/<string:task_id>", responses={200: ImageTaskView})
@mark(limit="status")
def painted(path: TaskPath) -> dict[str, Any]:
    """Tell how far a picture is, and where it lies when it is done."""
    return generation.status(path.task_id, PAINT, shown)


@bp.get("/text-to-image/models", responses={200: PaintersView})
@mark(limit="status")
def list_() -> list[dict[str, Any]]:
    """List the models that paint, installed or not."""
    return [row.model_dump() for row in models.list_able("text-to-image", services=services())]


@bp.post("/image-to-image/generate", responses={200: ImageTaskView, 202: ImageTaskView})
@mark(limit="generation", upload="picture")
def change(form: ImageForm) -> Response:
    """Change a picture as a prompt says; the answer is waited for."""
    told = form.model_dump(exclude={"image"})
    job = generation.submit_with_source(PAINT, form.image, lambda name: ImageRequest(**told, image=name))
    return generation.finish(job, shown)


@bp.get("/image-to-image/status/<string:task_id>", responses={200: ImageTaskView})
@mark(limit="status")
def changed(path: TaskPath) -> dict[str, Any]:
    """Tell how far a changed picture is, and where it lies when it is done."""
    return generation.status(path.task_id, PAINT, shown)


def shown(result: ImageResult | None) -> dict[str, Any]:
    """What of a result stands in a task."""
    if result is None:
        return {"image_url": None}
    facts = result.model_dump(include={"width", "height", "seed", "model"})
    return {"image_url": result.urls[0], "images": [file.model_dump() for file in result.files], **facts}
