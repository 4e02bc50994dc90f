"""Image classes on transformers: any folder that `AutoModelForImageClassification` loads."""

from typing import TYPE_CHECKING, Any, ClassVar

from services.contracts.models import Ability
from services.contracts.recognition import Classification, ImageClassifier, Prepared
from services.engines.vision import VisionEngine

if TYPE_CHECKING:
    import numpy as np

    Scores = np.ndarray[Any, Any]

CONFIDENCE_DIGITS = 6


class Classifier(VisionEngine["Scores"], ImageClassifier):
    """A classifier and its labels. `classify()` may be called from many threads."""

    name: ClassVar[str] = "classifier"
    auto_class: ClassVar[str] = "AutoModelForImageClassification"
    word: ClassVar[str] = "ForImageClassification"
    abilities: ClassVar[list[Ability]] = ["image-classification", "training"]

    def classify(self, picture: Prepared, *, top_k: int, owner: str) -> list[Classification]:
        scores = self._batches.do(picture, owner=owner)
        # A stable order: of equals the one that the model names first.
        best = (-scores).argsort(kind="stable")[:top_k]
        return [
            Classification(label=self._labels[number], confidence=round(float(scores[number]), CONFIDENCE_DIGITS))
            for number in best
        ]

    def _read(self, outputs: Any, looks: list[Prepared]) -> "list[Scores]":
        logits = outputs.logits.float()
        # A model of several labels a picture judges each by itself.
        several = self._model.config.problem_type == "multi_label_classification"
        return list((logits.sigmoid() if several else logits.softmax(-1)).cpu().numpy())
