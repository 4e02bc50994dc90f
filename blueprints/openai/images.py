"""OpenAI's images: pictures from words, and from words and a picture, whole or as events."""

import base64
import hashlib
import time
from collections.abc import Iterator
from typing import Any

from flask import Response, g, request
from pydantic import BaseModel, Field

from blueprints.kit import generation
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.streams import DONE, Writing, frame, respond
from blueprints.kit.uploads import landed
from blueprints.kit.validation import SENTENCES, FormModel, Upload
from blueprints.kit.waiting import answer_of, submit, wait_seconds
from blueprints.openai.pictures import also_json, landed_picture
from blueprints.openai.shapes import whole_or_streamed
from services.contracts.images import ImageFile, ImageResult
from services.contracts.jobs import JobView
from services.contracts.openai_images import OpenAIEditRequest, OpenAIImageRequest
from services.errors import Invalid, Unavailable

bp = make_blueprint("openai_images", url_prefix="/v1/images", about="OpenAI's surface: images")

PAINT = "images.generate"


class OpenAIImageView(BaseModel):
    """One picture; without `response_format` it stands in both forms."""

    b64_json: str | None = None
    url: str | None = Field(
        None, examples=["http://127.0.0.1:8000/outputs/images/0123456789abcdef0123456789abcdef.png"]
    )
    revised_prompt: str | None = None
    seed: int | None = None


class OpenAIImagesView(BaseModel):
    """The pictures; `size` is what was made, whatever was asked for."""

    created: int
    data: list[OpenAIImageView]
    background: str = "opaque"
    output_format: str = Field(examples=["png"])
    size: str = Field(examples=["512x512"])
    quality: str = "auto"
    model: str


class OpenAIEditForm(FormModel, OpenAIImageRequest):
    """The picture as `image`, or as `image[]`; one at a time."""

    image: list[Upload] = Field([])
    images: list[Upload] = Field([], alias="image[]")
    mask: list[Upload] = Field([])
    strength: float = Field(0.8, ge=0, le=1, allow_inf_nan=False, description="Ours: how far it is changed")

    @classmethod
    def model_validate(cls, obj: Any = None, **options: Any) -> Any:
        """The form, or what a JSON body says in its place."""
        if request.is_json:
            return OpenAIEditRequest.model_validate(request.get_json(silent=True), **options)
        return super().model_validate(obj, **options)

    def picture(self) -> Any:
        """The one picture that was sent. Raises Invalid for none, for several and for a mask."""
        sent = [*self.image, *self.images]
        if self.mask:
            raise _unsupported("mask")
        if len(sent) != 1:
            raise _one_picture(len(sent))
        return sent[0]


ANSWERS = whole_or_streamed(OpenAIImagesView, "The pictures; with `stream` as server-sent events")


@bp.post("/generations", responses=ANSWERS)
@mark(limit="generation")
def generate(body: OpenAIImageRequest) -> Response:
    """Paint what a prompt says."""
    return _answer(submit(PAINT, body.plain()), body, "image_generation")


@bp.post("/edits", responses=ANSWERS)
@mark(limit="generation", upload="picture")
@also_json(OpenAIEditRequest)
def edit(form: OpenAIEditForm) -> Response:
    """Change a picture as a prompt says: a form with the picture, or JSON that names it."""
    picture = form.picture() if isinstance(form, OpenAIEditForm) else landed_picture(form.images[0], field="images")
    return _answer(_submit_edit(picture, form, form.strength), form, "image_edit")


def _submit_edit(picture: Any, asked: OpenAIImageRequest, strength: float) -> JobView:
    """The job that changes *picture*, kept as the caller's."""
    plain = asked.plain(strength=strength)
    digest = landed(picture).sha256
    told = repr([digest, plain.model_dump(), asked.response_format, me().id]).encode()
    kept, _ = generation.keep_source(picture)
    wanted = plain.model_copy(update={"image": kept.name})
    return generation.submit_keeping(kept.name, PAINT, wanted, fingerprint=hashlib.sha256(told).hexdigest())


def _answer(job: JobView, asked: OpenAIImageRequest, kind: str) -> Response:
    """The pictures of *job*, waited for, whole or as events of *kind*."""
    root, form = request.url_root.rstrip("/"), asked.response_format
    if not asked.stream:
        return answer_of(job, show=lambda result, _job: view(result, form, root))
    house, seconds = services(), wait_seconds() or services().settings.sync_wait_seconds

    def wait() -> Iterator[list[ImageResult]]:
        ended = house.jobs.wait(job.id, seconds)
        if not ended.ended:
            raise _still_painting(job.id)
        yield [house.jobs.result(ended)]

    writing = PaintedWriting(kind)
    return respond(wait, writing.encode, writing)


class PaintedWriting(Writing):
    """Each picture as one event when all are done; there are no partial ones."""

    def __init__(self, kind: str) -> None:
        self._kind = f"{kind}.completed"

    def encode(self, batch: list[ImageResult]) -> bytes:
        return b"".join(self._frame(file, result) for result in batch for file in result.files)

    def end(self) -> bytes:
        return DONE

    def _frame(self, file: ImageFile, result: ImageResult) -> bytes:
        told = {"type": self._kind, "b64_json": _base64(file), "created_at": int(time.time())}
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return f"event: {self._kind}\n".encode() + frame(told | _facts(result) | {"usage": usage})


def view(result: ImageResult, form: str | None, root: str) -> dict[str, Any]:
    """Pictures that were made, in OpenAI's words."""
    data = []
    for file in result.files:
        shown: dict[str, Any] = {"revised_prompt": file.revised_prompt, "seed": file.seed}
        shown |= {"url": f"{root}{file.url}"} if form != "b64_json" else {}
        shown |= {"b64_json": _base64(file)} if form != "url" else {}
        data.append(shown)
    return {"created": int(time.time()), "data": data, "model": result.model, **_facts(result)}


def _facts(result: ImageResult) -> dict[str, str]:
    return {
        "size": f"{result.width}x{result.height}",
        "output_format": result.files[0].media_type.rpartition("/")[2],
        "background": "opaque",
        "quality": "auto",
    }


def _base64(file: ImageFile) -> str:
    return base64.b64encode(services().files.find(file.name).path.read_bytes()).decode()


def _still_painting(job_id: str) -> Unavailable:
    return Unavailable(
        "The pictures are not ready yet; follow GET /api/jobs/{id}.",
        "图片尚未完成，可通过 GET /api/jobs/{id} 查看进度。",
        details={"reason": "in_progress", "job": job_id, "request_id": g.get("request_id", "")},
        id=job_id,
    )


def _unsupported(field: str) -> Invalid:
    en, zh = SENTENCES["unsupported"]
    return Invalid(field, en.format(field=field), zh.format(field=field), reason="unsupported")


def _one_picture(count: int) -> Invalid:
    if not count:
        return Invalid("image", "'image' is required.", "参数'image'不能为空。", reason="required")
    return Invalid(
        "image",
        "One picture is changed at a time; {count} were sent.",
        "一次只能编辑一张图片，收到了 {count} 张。",
        reason="several_files",
        count=count,
    )
