"""Measures of classifiers against values worked out by hand, and a real one judged as the engine serves it."""

from pathlib import Path

import pytest

from services.errors import Invalid, Unavailable
from services.measures.classes import evaluate_classifier, measure
from services.settings import Settings
from tests.photographs import photograph
from tests.vision_models import CLASSIFIER

#          a  b  c   (answers)
# a (4):   3  1  0
# b (3):   0  2  1
# c (3):   1  0  2
TRUTH = "aaaabbbccc"
FOUND = "aaabbbccca"


def test_it_is_what_is_worked_out_by_hand() -> None:
    found = measure(TRUTH, FOUND)
    assert found.confusion_matrix == [[3, 1, 0], [0, 2, 1], [1, 0, 2]]
    assert found.accuracy == 0.7
    # Precision 3/4, 2/3, 2/3; recall 3/4, 2/3, 2/3; so the three F1 are the same, and their mean is 25/36.
    assert [(row["precision"], row["recall"]) for row in found.per_class] == [
        (0.75, 0.75), (0.666667, 0.666667), (0.666667, 0.666667),
    ]  # fmt: skip
    assert found.f1_score == pytest.approx(25 / 36, abs=1e-6)


def test_a_class_that_nobody_answers_has_no_f1_but_counts() -> None:
    found = measure(["a", "a", "b"], ["a", "a", "a"])
    # F1 of a: 2 * 2 / (2 + 3) = 0.8; of b: 0.
    assert (found.f1_score, found.accuracy) == (0.4, pytest.approx(2 / 3, abs=1e-6))


def test_a_class_that_does_not_occur_is_in_the_matrix_and_not_in_the_mean() -> None:
    found = measure(["a", "b"], ["a", "b"], labels=["a", "b", "c"])
    assert (found.labels, found.f1_score) == (["a", "b", "c"], 1.0)
    assert found.confusion_matrix == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_an_answer_of_another_world_is_wrong_and_counted_apart() -> None:
    found = measure(["a", "a", "b"], ["a", "tabby", "b"])
    assert (found.labels, found.other, found.confusion_matrix) == (["a", "b"], [1, 0], [[1, 0], [0, 1]])
    # As scikit-learn counts it: F1 of a is 2/3, of b 1, and of tabby, which is a class of its own, 0.
    assert found.f1_score == pytest.approx((2 / 3 + 1 + 0) / 3, abs=1e-6)
    assert found.told()["other"] == [1, 0]


def test_the_matrix_of_very_many_classes_is_not_told() -> None:
    labels = [f"{number:03}" for number in range(101)]
    told = measure(labels, labels).told()
    assert "confusion_matrix" not in told
    assert (told["accuracy"], len(told["per_class"])) == (1.0, 101)


def test_answers_that_are_fewer_than_the_truth_are_a_fault() -> None:
    with pytest.raises(ValueError, match="shorter"):
        measure("ab", "a")


def test_a_real_classifier_is_judged_as_it_serves(vision_models: Path) -> None:
    settings = Settings(_env_file=None, cpu_threads=1)
    labelled = [
        (photograph("chelsea"), "Egyptian cat"),
        (photograph("coffee").read_bytes(), "espresso"),
        (photograph("rocket"), "missile"),
        (b"no picture at all", "espresso"),
    ]
    looked_at: list[int] = []
    found = evaluate_classifier(vision_models / CLASSIFIER, labelled, settings, check=looked_at.append)
    assert (found.pictures, found.skipped, looked_at) == (3, 1, [0, 1, 2, 3])
    assert found.per_class[0]["recall"] == found.per_class[1]["recall"] == 1.0
    assert found.labels == ["Egyptian cat", "espresso", "missile"]


def test_nothing_but_broken_pictures_is_no_judgement(vision_models: Path) -> None:
    with pytest.raises(Invalid, match="1 could not be read"):
        evaluate_classifier(vision_models / CLASSIFIER, [(b"x", "a")], Settings(_env_file=None, cpu_threads=1))


def test_a_folder_without_a_model_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be loaded"):
        evaluate_classifier(tmp_path, [(b"x", "a")], Settings(_env_file=None, cpu_threads=1))
