"""Recognition: read the picture, let the model look, and name what it saw in the caller's language."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services import labels, routes, sent_pictures
from services.compute.registry import function
from services.contracts.models import Ability, CatalogRow
from services.contracts.recognition import (
    Classification,
    ClassifyRequest,
    ClassifyResult,
    Detection,
    DetectRequest,
    DetectResult,
    ImageClassifier,
    LookRequest,
    ObjectDetector,
    Prepared,
    VisionModel,
)
from services.engines.base import Engine
from services.errors import Invalid
from services.trained_models import is_trained

if TYPE_CHECKING:
    from services.assemble import Services

SEPARATOR = re.compile(r"[,，]")
LABELS_TOLD = 20


@function(needs_engine=True, lane="gpu")
def classify(request: ClassifyRequest, *, services: "Services") -> ClassifyResult:
    """The likeliest classes of a picture that has landed.

    Raises NotFound for a model that nobody has, Unavailable for one that is not installed, UnsupportedMedia and
    Invalid for the picture, Busy when too many wait.
    """
    with _opened(request, "image-classification", services) as (row, engine):
        assert isinstance(engine, ImageClassifier)
        found = engine.classify(_prepared(request, engine, services), top_k=request.top_k, owner=request.owner)
    if is_trained(row):
        services.trained.note_use(row.id)
    _translate(found, request, row, engine)
    return ClassifyResult(classifications=found, model=row.id)


@function(needs_engine=True, lane="gpu")
def detect(request: DetectRequest, *, services: "Services") -> DetectResult:
    """What is where on a picture that has landed. Raises as `classify`, and Invalid for a label of no model."""
    with _opened(request, "object-detection", services) as (row, engine):
        assert isinstance(engine, ObjectDetector)
        wanted = own_labels(request.labels, engine)
        picture = _prepared(request, engine, services)
        found = engine.detect(picture, threshold=request.threshold, labels=wanted, owner=request.owner)
    _translate(found, request, row, engine)
    return DetectResult(detections=found, model=row.id, width=picture.width, height=picture.height)


def _prepared(request: LookRequest, engine: VisionModel, services: "Services") -> Prepared:
    """What *engine* takes of the picture, which itself is gone when this returns."""
    with sent_pictures.opened(request, owner=request.owner, services=services) as image:
        return engine.prepare(image)


def _translate(
    found: Sequence[Classification | Detection], request: LookRequest, row: CatalogRow, engine: VisionModel
) -> None:
    """Give COCO's labels in Chinese to those who read it; what somebody who trained a model named stays so."""
    if request.language != "zh" or is_trained(row) or not labels.are_of_coco(tuple(engine.labels)):
        return
    for each in found:
        each.label = labels.in_chinese(each.label)


def own_labels(names: list[str], engine: ObjectDetector) -> list[str]:
    """The model's labels that *names* mean; each may be several, parted by commas. Raises Invalid for others."""
    parted = (
        part for name in names for part in ([name] if labels.own_label(name, engine.labels) else SEPARATOR.split(name))
    )
    return [_own_label(name, engine) for name in parted if name.strip()]


def _own_label(name: str, engine: ObjectDetector) -> str:
    if found := labels.own_label(name, engine.labels):
        return found
    raise Invalid(
        "labels",
        "This model knows no {name}; it knows {known}.",
        "此模型没有标签 {name}，可用标签：{known}。",
        reason="unknown_label",
        name=repr(name[:60]),
        known=", ".join(engine.labels[:LABELS_TOLD]) + ("…" if len(engine.labels) > LABELS_TOLD else ""),
    )


@contextmanager
def _opened(request: LookRequest, ability: Ability, services: "Services") -> Iterator[tuple[CatalogRow, Engine]]:
    """The row and the loaded engine for *request*, loaded at least until the end of the block."""
    row = routes.local(request.model, ability, services=services, owner=request.owner)
    with services.pool.lease(row, lambda: services.catalog.path(row)) as engine:
        yield row, engine
