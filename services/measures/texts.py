"""How near an answer is to the right one: exact match, and ROUGE-L.

Source: Lin, 2004, ROUGE, W04-1013: the longest common subsequence, as precision, recall and their F1. A word is a run
of letters and digits, and in scripts without spaces one sign, so that Chinese answers are measured as English ones.
"""

import re
from collections.abc import Sequence

# Han, Hiragana, Katakana and Hangul are counted sign by sign.
SIGNS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORDS = re.compile(rf"[{SIGNS}]|[^\W_{SIGNS}]+")


def words(text: str) -> list[str]:
    """The words of *text*, small."""
    return WORDS.findall(text.lower())


def exact_match(truth: Sequence[str], answers: Sequence[str]) -> float:
    """The share of *answers* that are letter for letter the *truth*, but for white space around and between words."""
    same = sum(right.split() == answer.split() for right, answer in zip(truth, answers, strict=True))
    return same / len(truth) if truth else 0.0


def rouge_l(truth: Sequence[str], answers: Sequence[str]) -> float:
    """The mean F1 of the longest common subsequences of words, 0 to 1."""
    scores = [rouge_l_of(right, answer) for right, answer in zip(truth, answers, strict=True)]
    return sum(scores) / len(scores) if scores else 0.0


def rouge_l_of(right: str, answer: str) -> float:
    """The F1 of one pair; two texts without any word are the same."""
    one, other = words(right), words(answer)
    if not one or not other:
        return float(one == other)
    return 2 * _common(one, other) / (len(one) + len(other))


def _common(one: list[str], other: list[str]) -> int:
    """How long the longest common subsequence is; a row of the table at a time."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, found in enumerate(other, 1):
            above = row[place]
            row[place] = before + 1 if word == found else max(above, row[place - 1])
            before = above
    return row[-1]
