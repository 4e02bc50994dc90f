"""Which pictures are learned, which are looked at on the way, and which judge the result."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.datasets.labelled_pictures import Labelled
from services.errors import Invalid

# Of each class, of what has no parts of its own: a tenth on the way and a tenth at the end.
SHARE = 0.1
# A class of fewer has none to spare for the end.
FEWEST_FOR_TEST = 5
FEWEST_OF_A_CLASS = 2
FEWEST_CLASSES = 2
NAMED = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """The pictures of a training by what they are for. `test` may be empty, and `validation` judges then."""

    train: list[Labelled]
    validation: list[Labelled]
    test: list[Labelled]

    @property
    def labels(self) -> list[str]:
        """The classes in the order of their numbers."""
        return sorted({picture.label for picture in self.train})

    @property
    def judges(self) -> tuple[str, list[Labelled]]:
        """What judges the result, and which part it is."""
        return ("test", self.test) if self.test else ("validation", self.validation)

    def all(self) -> list[Labelled]:
        return [*self.train, *self.validation, *self.test]

    def without(self, names: set[str]) -> "Parts":
        """The parts without the pictures that are called *names*. Raises Invalid when too few are left."""
        parts = (self.train, self.validation, self.test)
        kept = Parts(*([one for one in part if one.name not in names] for part in parts))
        _refuse_few(kept.all(), kept.train)
        return kept


def part(pictures: Iterable[Labelled], seed: int) -> Parts:
    """The data set's own parts where it has them, else a split of each class by *seed*.

    The same pictures and seed give the same parts, and a picture more moves hardly any other. Raises Invalid for
    fewer than two classes, and for a class with fewer than two pictures or none to learn from.
    """
    listed = list({picture.name: picture for picture in pictures}.values())
    own = {name: [one for one in listed if one.part == name] for name in ("validation", "test")}
    rest = [one for one in listed if one.part not in own]
    if not own["validation"]:
        test, share = own["test"], (0 if own["test"] else SHARE)
        rest, own["validation"], own["test"] = _split(rest, seed, test_share=share)
        own["test"] += test
    _refuse_few(listed, rest)
    return Parts(rest, own["validation"], own["test"])


def _split(pictures: list[Labelled], seed: int, *, test_share: float) -> tuple[list[Labelled], ...]:
    """Of each class a share for looking at on the way, and a share for the end; the order of the rest stays."""
    parts: dict[str, str] = {}
    classes: dict[str, list[str]] = {}
    for one in pictures:
        classes.setdefault(one.label, []).append(one.name)
    for found in classes.values():
        names = sorted(found, key=lambda name: _place(seed, name))
        ahead = max(1, round(SHARE * len(names))) if len(names) >= FEWEST_OF_A_CLASS else 0
        end = max(1, round(test_share * len(names))) if test_share and len(names) >= FEWEST_FOR_TEST else 0
        parts |= dict.fromkeys(names[:ahead], "validation") | dict.fromkeys(names[ahead : ahead + end], "test")
    told = [replace(one, part=parts.get(one.name, "train")) for one in pictures]
    return tuple([one for one in told if one.part == name] for name in ("train", "validation", "test"))


def _place(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _refuse_few(pictures: list[Labelled], learned: list[Labelled]) -> None:
    counts = Counter(picture.label for picture in pictures)
    if len(counts) < FEWEST_CLASSES:
        raise _too_few(
            "one_class",
            "The data set has one class alone ({names}); a classifier needs two and more, each in its own folder.",
            "数据集只有一个类别（{names}）；图像分类至少需要两个类别，每类一个文件夹。",
            list(counts),
        )
    if few := sorted(label for label, count in counts.items() if count < FEWEST_OF_A_CLASS):
        raise _too_few(
            "too_few_pictures",
            "Each class needs two pictures at least; these have one: {names}.",
            "每个类别至少需要两张图片；以下类别只有一张：{names}。",
            few,
        )
    if unlearned := sorted(counts.keys() - {picture.label for picture in learned}):
        raise _too_few(
            "no_training_pictures",
            "These classes have no picture in the part to learn from: {names}.",
            "以下类别在训练集中没有图片：{names}。",
            unlearned,
        )


def _too_few(reason: str, en: str, zh: str, labels: list[str]) -> Invalid:
    names = ", ".join(label[:40] for label in labels[:NAMED]) + ("…" if len(labels) > NAMED else "")
    error = Invalid("dataset_path", en, zh, reason=reason, names=names or "-")
    error.details["classes"] = labels[:NAMED]
    return error
