"""System 3: films from words, and from a picture that begins to move."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit import generation
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.marks import mark
from blueprints.kit.validation import FormModel, Upload
from blueprints.kit.waiting import submit
from services.contracts.video import VideoRequest, VideoResult

bp = make_blueprint("video", url_prefix="/api", about="Films from words and from pictures (system 3)")
FILM = "video.generate"


class FilmPath(BaseModel):
    task_id: str = Field(max_length=64)


class VideoForm(FormModel, VideoRequest):
    """`image` is the first frame; the other fields are those of text to video, and the prompt may be empty."""

    image: Upload  # type: ignore[assignment]


class VideoTaskView(BaseModel):
    """A film in the making."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["processing"], description="processing, completed, failed or canceled")
    video_url: str | None = Field(None, examples=["/outputs/video/0123456789abcdef0123456789abcdef.mp4"])
    progress: float = Field(0, examples=[0], description="0 to 100")
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    seed: int | None = None
    model: str | None = None
    error: dict[str, Any] | None = None


@bp.post("/text-to-video/generate", responses={200: VideoTaskView})
@mark(limit="generation")
def film(body: VideoRequest) -> Response:
    """Start to film what a prompt says; `status` tells how far it is (`Prefer: wait=N` waits for it here)."""
    return generation.start(submit(FILM, body), shown)


@bp.get("/text-to-video/status/<string:task_id>", responses={200: VideoTaskView})
@mark(limit="status")
def filmed(path: FilmPath) -> dict[str, Any]:
    """Tell how far a film is, and where it lies when it is done."""
    return generation.status(path.task_id, FILM, shown)


@bp.post("/image-to-video/generate", responses={200: VideoTaskView})
@mark(limit="generation", upload="picture")
def move(form: VideoForm) -> Response:
    """Start to let a picture move; `status` tells how far it is (`Prefer: wait=N` waits for it here)."""
    told = form.model_dump(exclude={"image"})
    job = generation.submit_with_source(FILM, form.image, lambda name: VideoRequest(**told, image=name))
    return generation.start(job, shown)


@bp.get("/image-to-video/status/<string:task_id>", responses={200: VideoTaskView})
@mark(limit="status")
def moved(path: FilmPath) -> dict[str, Any]:
    """Tell how far a moving picture is, and where it lies when it is done."""
    return generation.status(path.task_id, FILM, shown)


def shown(result: VideoResult | None) -> dict[str, Any]:
    """What of a result stands in a task."""
    if result is None:
        return {"video_url": None}
    first = result.files[0].model_dump(include={"num_frames", "fps"})
    return {"video_url": result.urls[0], **result.model_dump(include={"width", "height", "seed", "model"}), **first}
