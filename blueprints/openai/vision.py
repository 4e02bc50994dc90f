"""What pictures show, and where: OpenAI has no such routes; these are recognition and faces beside its own."""

from typing import Any, ClassVar

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.datastructures import FileStorage

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me
from blueprints.kit.looking import look, sent_picture
from blueprints.kit.marks import mark
from blueprints.kit.problems import language
from blueprints.kit.validation import FormModel, Upload
from blueprints.openai.pictures import also_json, landed_picture
from services.contracts.faces import DetectFacesResult, FaceRequest
from services.contracts.openai_images import Given
from services.contracts.recognition import (
    MOST_LABELS,
    ClassifyRequest,
    ClassifyResult,
    DetectRequest,
    DetectResult,
    LabelName,
    Threshold,
    TopK,
)

bp = make_blueprint("openai_vision", url_prefix="/v1/vision", about="Beside OpenAI's surface: what pictures show")


class _Seen(BaseModel):
    model: str | None = Field(None, max_length=256, description="A catalog id; empty takes the default")


class _Classified(_Seen):
    top_k: TopK = Field(5, description="How many classes are told")


class _Detected(_Seen):
    threshold: Threshold = Field(0.5, description="What is less sure is not told")
    labels: list[LabelName] = Field([], max_length=MOST_LABELS, description="Only these")


class _Named(BaseModel):
    """A JSON body: the picture's `data:` or `https:` address, or `{"file_id": …}`."""

    image: Given

    def picture(self) -> FileStorage:
        return landed_picture(self.image, field="image")


class VisionFacesRequest(_Named, _Seen):
    """Where are faces?"""


class VisionClassifyRequest(_Named, _Classified):
    """What does the picture show?"""


class VisionDetectRequest(_Named, _Detected):
    """What is where?"""


class _Sent(FormModel):
    """A form with the picture, or a JSON body that names it."""

    named: ClassVar[type[BaseModel]]
    image: Upload

    @classmethod
    def model_validate(cls, obj: Any = None, **options: Any) -> Any:
        if request.is_json:
            return cls.named.model_validate(request.get_json(silent=True), **options)
        return super().model_validate(obj, **options)

    def picture(self) -> Any:
        return self.image


class VisionFacesForm(_Sent, _Seen):
    named = VisionFacesRequest


class VisionClassifyForm(_Sent, _Classified):
    named = VisionClassifyRequest


class VisionDetectForm(_Sent, _Detected):
    named = VisionDetectRequest


@bp.post("/classify", responses={200: ClassifyResult})
@mark(limit="generation", upload="picture")
@also_json(VisionClassifyRequest)
def classify(form: VisionClassifyForm) -> Response:
    """Tell what a picture shows, the likeliest first."""
    asked = {"top_k": form.top_k, "language": language()}
    return look("recognition.classify", ClassifyRequest(**_common(form), **asked))


@bp.post("/detect", responses={200: DetectResult})
@mark(limit="generation", upload="picture")
@also_json(VisionDetectRequest)
def detect(form: VisionDetectForm) -> Response:
    """Tell what is where on a picture: boxes are [x1, y1, x2, y2] in pixels of the upright picture."""
    asked = {"threshold": form.threshold, "labels": form.labels, "language": language()}
    return look("recognition.detect", DetectRequest(**_common(form), **asked))


@bp.post("/faces", responses={200: DetectFacesResult})
@mark(limit="generation", upload="picture")
@also_json(VisionFacesRequest)
def find_faces(form: VisionFacesForm) -> Response:
    """Find the faces on a picture, with their landmarks."""
    return look("faces.detect", FaceRequest(**_common(form)))


def _common(form: Any) -> dict[str, Any]:
    """What every request to look says."""
    return {**sent_picture(form.picture()), "model": form.model or None, "owner": me().id}
