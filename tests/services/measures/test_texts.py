"""Exact match and ROUGE-L, by hand and by their own rules."""

import pytest

from services.measures import texts


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The owl, 12 times!", ["the", "owl", "12", "times"]),
        ("机器学习AI模型", ["机", "器", "学", "习", "ai", "模", "型"]),
        ("naïve café_bar", ["naïve", "café", "bar"]),
        ("  ... ", []),
    ],
    ids=["english", "chinese", "letters-of-others", "no-words"],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert texts.words(text) == wanted


@pytest.mark.parametrize(
    ("right", "answer", "score"),
    [
        # Examples of the paper, section 3.1.
        ("police killed the gunman", "police kill the gunman", 0.75),
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("a b c d e", "a c e", 0.75),
        ("机器学习", "机器在学习", 8 / 9),
        ("same", "same", 1.0),
        ("one", "other", 0.0),
        ("", "", 1.0),
        ("word", "", 0.0),
    ],
    ids=["paper-1", "paper-2", "gaps", "chinese", "same", "nothing", "both-empty", "no-answer"],
)
def test_rouge_l(right: str, answer: str, score: float) -> None:
    assert texts.rouge_l_of(right, answer) == pytest.approx(score)
    assert texts.rouge_l_of(answer, right) == pytest.approx(score)


def test_the_mean_of_several() -> None:
    assert texts.rouge_l(["a b", "c"], ["a b", "d"]) == 0.5
    assert texts.exact_match(["a b", "c", "d"], [" a  b\n", "C", "d"]) == pytest.approx(2 / 3)
    assert (texts.rouge_l([], []), texts.exact_match([], [])) == (0.0, 0.0)
