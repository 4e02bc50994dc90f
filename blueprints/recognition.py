"""System 3: what a picture shows, and where."""

from typing import Any

from flask import Response, jsonify, request
from pydantic import Field, field_validator

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.kit.problems import language
from blueprints.kit.uploads import take
from blueprints.kit.validation import FormModel, Upload
from services.contracts.recognition import (
    MOST_LABELS,
    ClassifyRequest,
    ClassifyResult,
    DetectRequest,
    DetectResult,
    LabelName,
    LookRequest,
    Threshold,
    TopK,
)

bp = make_blueprint("recognition", url_prefix="/api/image-recognition", about="What pictures show (system 3)")


class LookForm(FormModel):
    """A picture and the model that shall look at it; an empty field is as good as none."""

    image: Upload
    model: str | None = Field(None, max_length=256, description="A catalog id; empty takes the default")
    model_id: str | None = Field(None, max_length=256, description="The same as `model`")

    def common(self) -> dict[str, Any]:
        """What every request to look says, but for the picture's name."""
        return {"model": self.model or self.model_id or None, "owner": me().id, "language": language()}


class ClassifyForm(LookForm):
    top_k: TopK = Field(5, description="How many classes are told")

    @field_validator("top_k", mode="before")
    @classmethod
    def empty_as_default(cls, value: Any) -> Any:
        return 5 if value == "" else value


class DetectForm(LookForm):
    threshold: Threshold = Field(0.5, description="What is less sure is not told")
    labels: list[LabelName] = Field(
        [], max_length=MOST_LABELS, description="Only these, in the model's words or in Chinese; commas part them"
    )

    @field_validator("threshold", mode="before")
    @classmethod
    def empty_as_default(cls, value: Any) -> Any:
        return 0.5 if value == "" else value


@bp.post("/classify", responses={200: ClassifyResult})
@mark(upload="picture")
def classify(form: ClassifyForm) -> Response:
    """Tell what a picture shows, the likeliest first."""
    landing = take(form.image, {"image"})
    return _look("classify", ClassifyRequest(image=landing.path.name, top_k=form.top_k, **form.common()))


@bp.post("/detect", responses={200: DetectResult})
@mark(upload="picture")
def detect(form: DetectForm) -> Response:
    """Tell what is where on a picture: boxes are [x1, y1, x2, y2] in pixels of the upright picture."""
    landing = take(form.image, {"image"})
    asked = {"threshold": form.threshold, "labels": form.labels}
    return _look("detect", DetectRequest(image=landing.path.name, **asked, **form.common()))


def _look(name: str, wanted: LookRequest) -> Response:
    """The answer of the engine, for as long as the client waits for it."""
    with client_waits(request.environ):
        result = services().calls.call(f"recognition.{name}", wanted, services=services())
    return jsonify(result.model_dump())
