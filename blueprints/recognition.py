"""System 3: what a picture shows, and where."""

from typing import Any

from flask import Response
from pydantic import Field, field_validator

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.looking import LookForm, look
from blueprints.kit.marks import mark
from blueprints.kit.problems import language
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

bp = make_blueprint("recognition", url_prefix="/api/image-recognition", about="What pictures show (system 3)")


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
    return look("recognition.classify", ClassifyRequest(**form.common(), top_k=form.top_k, language=language()))


@bp.post("/detect", responses={200: DetectResult})
@mark(upload="picture")
def detect(form: DetectForm) -> Response:
    """Tell what is where on a picture: boxes are [x1, y1, x2, y2] in pixels of the upright picture."""
    asked = {"threshold": form.threshold, "labels": form.labels, "language": language()}
    return look("recognition.detect", DetectRequest(**form.common(), **asked))
