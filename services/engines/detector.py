"""Things and their boxes on transformers: any folder that `AutoModelForObjectDetection` loads.

RT-DETR, D-FINE, DETR, YOLOS and their kin differ in how they score; each one's own processor reads its
outputs, so that boxes are those that transformers gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from services.contracts.models import Ability
from services.contracts.recognition import Detection, ObjectDetector, Prepared
from services.engines.vision import VisionEngine

CONFIDENCE_DIGITS = 6
# Hundredths of a pixel: less than any model knows.
PIXEL_DIGITS = 2


@dataclass(slots=True)
class Found:
    """What was found on one picture, as plain lists of one length."""

    scores: list[float]
    labels: list[int]
    boxes: list[list[float]]


class Detector(VisionEngine[Found], ObjectDetector):
    """A detector and its labels. `detect()` may be called from many threads."""

    name: ClassVar[str] = "detector"
    auto_class: ClassVar[str] = "AutoModelForObjectDetection"
    word: ClassVar[str] = "ForObjectDetection"
    abilities: ClassVar[list[Ability]] = ["object-detection"]

    def detect(self, picture: Prepared, *, threshold: float, labels: Sequence[str] = (), owner: str) -> list[Detection]:
        found = self._batches.do(replace(picture, threshold=threshold), owner=owner)
        wanted = {number for number, label in enumerate(self._labels) if not labels or label in labels}
        seen = [
            Detection(
                label=self._labels[label],
                confidence=round(score, CONFIDENCE_DIGITS),
                bbox=_within(box, picture.width, picture.height),
            )
            for score, label, box in zip(found.scores, found.labels, found.boxes, strict=True)
            if label in wanted and score > threshold
        ]
        return sorted(seen, key=lambda detection: -detection.confidence)

    def _read(self, outputs: Any, looks: list[Prepared]) -> list[Found]:
        results = self._processor.post_process_object_detection(
            outputs,
            # Those who ask together may ask for different ones; each sifts again.
            threshold=min(look.threshold for look in looks),
            target_sizes=[(look.height, look.width) for look in looks],
        )
        return [Found(found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist()) for found in results]


def _within(box: list[float], width: int, height: int) -> tuple[float, float, float, float]:
    """*box* without what lies outside of the picture."""
    x1, y1, x2, y2 = box
    left, right = (round(min(max(x, 0.0), width), PIXEL_DIGITS) for x in (x1, x2))
    top, bottom = (round(min(max(y, 0.0), height), PIXEL_DIGITS) for y in (y1, y2))
    return left, top, right, bottom
