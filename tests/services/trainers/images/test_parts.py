"""The parts of a data set of pictures: its own, or a split of each class; and what is too few."""

from collections import Counter

import pytest

from services.datasets.labelled_pictures import Labelled
from services.errors import Invalid
from services.trainers.images.parts import Parts, part


def pictures(counts: dict[str, int], part: str = "") -> list[Labelled]:
    return [Labelled(f"{part}/{label}/{number}.jpg", label, part) for label, count in counts.items()
            for number in range(count)]  # fmt: skip


def counted(parts: Parts) -> list[dict[str, int]]:
    return [dict(Counter(one.label for one in part)) for part in (parts.train, parts.validation, parts.test)]


def test_of_each_class_a_tenth_is_looked_at_on_the_way_and_a_tenth_at_the_end() -> None:
    parts = part(pictures({"a": 20, "b": 50}), seed=1)
    assert counted(parts) == [{"a": 16, "b": 40}, {"a": 2, "b": 5}, {"a": 2, "b": 5}]
    assert len({one.name for one in parts.all()}) == 70
    assert parts.judges[0] == "test"


def test_a_class_of_few_has_none_for_the_end() -> None:
    parts = part(pictures({"a": 2, "b": 4}), seed=1)
    assert counted(parts) == [{"a": 1, "b": 3}, {"a": 1, "b": 1}, {}]
    assert parts.judges == ("validation", parts.validation)


def test_the_same_seed_gives_the_same_parts_in_whatever_order() -> None:
    listed = pictures({"a": 30, "b": 30})
    one, other = part(listed, 7), part(listed[::-1], 7)
    assert {p.name for p in one.test} == {p.name for p in other.test}
    assert one.test != part(listed, 8).test


def test_a_picture_more_moves_hardly_any_other() -> None:
    one, other = part(pictures({"a": 100, "b": 100}), 7), part(
        pictures({"a": 101, "b": 100}), 7)  # fmt: skip
    moved = {p.name for p in one.train} ^ {p.name for p in other.train}
    assert len(moved) <= 3


def test_its_own_parts_are_taken() -> None:
    own = pictures({"a": 3, "b": 3}, "train") + pictures({"a": 2}, "validation") + pictures({"b": 1}, "test")
    assert counted(part(own, 1)) == [{"a": 3, "b": 3}, {"a": 2}, {"b": 1}]


def test_with_a_test_part_alone_some_are_taken_for_the_way() -> None:
    own = pictures({"a": 20, "b": 20}, "train") + pictures({"a": 2, "b": 2}, "test")
    assert counted(part(own, 1)) == [{"a": 18, "b": 18}, {"a": 2, "b": 2}, {"a": 2, "b": 2}]


def test_a_picture_that_is_named_twice_is_in_one_part() -> None:
    twice = [Labelled("same.jpg", "a", part) for part in ("train", "test")]
    parts = part([*pictures({"a": 3, "b": 3}, "train"), *twice], 1)
    assert sum(one.name == "same.jpg" for one in parts.all()) == 1


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (pictures({"a": 9}), "one_class"),
        (pictures({"a": 9, "b": 1}), "too_few_pictures"),
        (pictures({"a": 9, "b": 2}, "train") + pictures({"c": 2}, "test"), "no_training_pictures"),
    ],
    ids=["one-class", "one-picture", "only-in-test"],
)
def test_too_few_are_told_with_their_classes(listed: list[Labelled], reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        part(listed, 1)
    assert caught.value.details["reason"] == reason
    assert caught.value.details["field"] == "dataset_path"
    assert caught.value.details["classes"]


def test_without_the_broken_there_may_be_too_few() -> None:
    parts = part(pictures({"a": 4, "b": 4}), 1)
    gone = {one.name for one in parts.all() if one.label == "b"}
    assert len(parts.without({parts.train[0].name}).all()) == 7
    with pytest.raises(Invalid, match="one class"):
        parts.without(gone)
