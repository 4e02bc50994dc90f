"""How good a classifier is: accuracy, macro F1 and the confusion matrix, all from what it says of known pictures.

Source: the definitions of scikit-learn's `f1_score(average="macro")` with `zero_division=0`: the plain mean over the
classes that occur, as truth or as answer, of 2PR / (P + R).
"""

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services import pictures
from services.contracts.models import CatalogRow
from services.datasets.labelled_pictures import Labelled, LabelledPictures, open_pictures
from services.datasets.store import Located
from services.errors import Invalid, ServiceError, UnsupportedMedia
from services.settings import Settings
from services.trainers.images import parts

DIGITS = 6
# A matrix of more classes is nothing for people's eyes, and large.
MOST_IN_A_MATRIX = 100
OTHER = "other"
TOGETHER = 16


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """What a classifier's answers are worth; the matrix has the truth in its rows and the answers in its columns.

    `other` counts, for each class, answers that are none of `labels`; `skipped` pictures could not be read.
    """

    labels: list[str]
    pictures: int
    accuracy: float
    f1_score: float
    confusion_matrix: list[list[int]]
    other: list[int]
    per_class: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0

    def told(self) -> dict[str, Any]:
        """As it is kept with a model; without the matrix where that would be too large."""
        known: dict[str, Any] = {
            "accuracy": self.accuracy,
            "f1_score": self.f1_score,
            "pictures": self.pictures,
            "skipped": self.skipped,
            "labels": self.labels,
            "per_class": self.per_class,
        }
        if len(self.labels) > MOST_IN_A_MATRIX:
            return known
        known["confusion_matrix"] = self.confusion_matrix
        return known | ({OTHER: self.other} if any(self.other) else {})


def measure(
    truth: Sequence[str], found: Sequence[str], *, labels: Iterable[str] = (), skipped: int = 0
) -> ClassMeasures:
    """What *found*, the answers, are worth against *truth*, in the same order.

    The matrix has the classes of the truth and *labels*, sorted; any other answer is wrong and counted apart.
    """
    listed = sorted({*truth, *labels})
    pairs = Counter(zip(truth, found, strict=True))
    matrix = [[pairs[true, answer] for answer in listed] for true in listed]
    known = set(listed)
    other = [sum(count for (one, answer), count in pairs.items() if one == true and answer not in known)
             for true in listed]  # fmt: skip
    rows = [_of_class(listed, number, matrix, other[number]) for number in range(len(listed))]
    occurring = [row["f1_score"] for row in rows if row["pictures"] or row["answers"]]
    # An answer that no picture is right for is a class of its own with nothing right in it.
    strangers = len({answer for _, answer in pairs if answer not in known})
    right = sum(matrix[number][number] for number in range(len(listed)))
    return ClassMeasures(
        labels=listed,
        pictures=len(truth),
        accuracy=_rounded(right, len(truth)),
        f1_score=_rounded(sum(occurring), len(occurring) + strangers),
        confusion_matrix=matrix,
        other=other,
        per_class=rows,
        skipped=skipped,
    )


def evaluate_classifier(
    folder: Path,
    labelled: Iterable[tuple[bytes | Path, str]],
    settings: Settings,
    *,
    check: Callable[[int], None] = lambda done: None,
) -> ClassMeasures:
    """What the classifier in *folder* is worth on *labelled*, looked at as the engine looks at a caller's picture.

    Each is a picture's bytes or file and its class. One that cannot be read is skipped and counted. *check* hears
    how many were looked at, and may raise. Raises Unavailable for a folder that cannot be loaded.
    """
    from services.engines.classifier import Classifier

    row = CatalogRow(
        id=folder.name, name=folder.name, abilities=["image-classification"], licence="", engine="classifier"
    )
    engine = Classifier(row, folder, settings)
    engine.load()
    try:
        return _evaluated(engine, labelled, settings, check)
    finally:
        engine.unload()


def evaluate_held_out(
    folder: Path,
    dataset: Located,
    seed: int,
    settings: Settings,
    *,
    check: Callable[[int], None] = lambda done: None,
) -> tuple[str, ClassMeasures]:
    """What the classifier in *folder* is worth on the pictures that a training with *seed* did not learn.

    The first is the part that they are: `test`, else `validation`. Raises what `open_pictures` and
    `evaluate_classifier` raise, and Invalid for a data set that cannot be trained.
    """
    with open_pictures(dataset, settings) as source:
        part, listed = parts.part(source.pictures, seed).judges
        labelled = ((picture_data(source, picture), picture.label) for picture in listed)
        return part, evaluate_classifier(folder, labelled, settings, check=check)


def picture_data(source: LabelledPictures, picture: Labelled) -> bytes:
    """The bytes of *picture*; none where they cannot be read, which are skipped as a broken picture is."""
    try:
        return source.data(picture)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return b""


def _evaluated(
    engine: Any, labelled: Iterable[tuple[bytes | Path, str]], settings: Settings, check: Callable[[int], None]
) -> ClassMeasures:
    truth: list[str] = []
    found: list[str] = []
    waiting: list[Any] = []
    skipped = 0

    def look() -> None:
        for scores in engine.look(waiting):
            if isinstance(scores, Exception):
                raise scores
            found.append(engine.labels[int(scores.argmax())])
        waiting.clear()

    for number, (source, label) in enumerate(labelled):
        check(number)
        try:
            waiting.append(engine.prepare(pictures.read(source, max_pixels=settings.max_image_pixels)))
        except (Invalid, UnsupportedMedia, OSError):
            skipped += 1
            continue
        truth.append(label)
        if len(waiting) == TOGETHER:
            look()
    look()
    if not truth:
        raise _nothing(skipped)
    return measure(truth, found, skipped=skipped)


def _of_class(labels: list[str], number: int, matrix: list[list[int]], other: int) -> dict[str, Any]:
    right, truth = matrix[number][number], sum(matrix[number]) + other
    answers = sum(row[number] for row in matrix)
    return {
        "label": labels[number],
        "pictures": truth,
        "answers": answers,
        "precision": _rounded(right, answers),
        "recall": _rounded(right, truth),
        "f1_score": _rounded(2 * right, truth + answers),
    }


def _rounded(part: float, whole: float) -> float:
    return round(part / whole, DIGITS) if whole else 0.0


def _nothing(skipped: int) -> ServiceError:
    return Invalid(
        "dataset_path",
        "No picture is there to judge by ({skipped} could not be read).",
        "没有可用于评估的图片（{skipped} 张无法读取）。",
        reason="no_pictures",
        skipped=skipped,
    )
