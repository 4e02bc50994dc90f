"""Sentences: cut where a speaker takes breath, and nothing lost."""

import re
import time

import pytest

from services.sentences import LONGEST_SENTENCE, split


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("你好，世界！今天天气很好。走吧？", ["你好，世界！", "今天天气很好。", "走吧？"]),
        ("他说：“走吧！”然后走了。", ["他说：“走吧！”", "然后走了。"]),
        ("Pi is 3.14 today. Ask Dr. Smith, e.g. at noon.", ["Pi is 3.14 today.", "Ask Dr. Smith, e.g. at noon."]),
        ("J. R. Smith came.", ["J. R. Smith came."]),
        ("one\r\ntwo\n\nthree", ["one", "two", "three"]),
        ("Well... yes. No?! “Go.” Now", ["Well...", "yes.", "No?!", "“Go.”", "Now"]),
        ("等等……好的", ["等等……", "好的"]),
        ("see example.com/a.b now", ["see example.com/a.b now"]),
        (" \n\t ", []),
        ("nul\0bell\x07zero\u200bwidth", ["nul bell zero width"]),
    ],
)
def test_sentences_end_where_they_end(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


@pytest.mark.parametrize("text", ["word " * 4000, "字" * 20_000, "一二三，" * 5000, "a" * 20_000, "a, b " * 4000])
def test_what_has_no_end_is_cut_and_kept_whole(text: str) -> None:
    pieces = split(text)
    assert max(map(len, pieces)) <= LONGEST_SENTENCE
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)


def test_words_are_not_cut() -> None:
    assert set(" ".join(split("alphabet " * 1000)).split()) == {"alphabet"}


@pytest.mark.parametrize(
    "text", ["." * 20_000, "a." * 10_000, "?!" * 10_000, "” " * 10_000, "\n" * 20_000, "…" * 20_000]
)
def test_text_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    split(text)
    assert time.process_time() - started < 1
