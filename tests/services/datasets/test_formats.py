"""Formats are found by keys, and each becomes a conversation."""

from collections import Counter
from typing import Any

import pytest

from services.datasets import formats
from services.datasets.faults import Fault

ASKED = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}, {"type": "text", "text": "what?"}]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (("messages",), "messages"),
        (("id", "conversations"), "sharegpt"),
        (("instruction", "input", "output"), "alpaca"),
        (("instruction", "response"), "instruction_response"),
        (("prompt", "completion"), "prompt_response"),
        (("question", "answer"), "prompt_response"),
        (("text",), "text"),
        (("image", "label"), "image_label"),
        (("image", "text"), "image_text"),
        (("id", "image", "conversations"), "sharegpt"),
        (("a", "b"), "table"),
    ],
)
def test_keys_tell_the_format(keys: tuple[str, ...], found: str) -> None:
    assert formats.of_keys(keys) == found


def test_most_rows_decide() -> None:
    shapes = Counter({("text",): 3, ("a",): 2, ("text", "id"): 1})
    assert formats.of_rows(shapes) == "text"
    assert formats.of_rows(Counter()) == "table"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": ASKED}, ASKED),
        ({"messages": [{"role": "user", "content": PICTURE}, ASKED[1]]},
         [{"role": "user", "content": PICTURE}, ASKED[1]]),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}, ASKED),
        ({"system": "be", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]},
         [{"role": "system", "content": "be"}, *ASKED]),
        ({"instruction": "hi", "input": "", "output": "ho"}, ASKED),
        ({"instruction": "h", "input": "i", "output": "ho"}, [{"role": "user", "content": "h\ni"}, ASKED[1]]),
        ({"instruction": "more", "output": "yes", "history": [["hi", "ho"]]},
         [*ASKED, {"role": "user", "content": "more"}, {"role": "assistant", "content": "yes"}]),
        ({"instruction": "hi", "response": "ho"}, ASKED),
        ({"prompt": "hi", "response": "ho"}, ASKED),
        ({"question": "hi", "answer": "ho"}, ASKED),
    ],
)  # fmt: skip
def test_a_row_becomes_a_conversation(row: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert formats.messages(row, formats.of_keys(row)) == expected


@pytest.mark.parametrize(
    "row",
    [
        {"messages": "hi"},
        {"messages": [{"role": "king", "content": "hi"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": [{"role": "user", "content": ["x"]}]},
        {"messages": [{"role": [], "content": "x"}]},
        {"messages": [None]},
        {"conversations": {"from": "human"}},
        {"instruction": "", "output": "x"},
        {"instruction": {"a": 1}, "output": "x"},
        {"instruction": "a", "output": "x", "history": [["one"]]},
        {"prompt": None, "response": "x"},
    ],
)
def test_what_does_not_fit_is_a_bad_row(row: dict[str, Any]) -> None:
    found = formats.messages(row, formats.of_keys(row))
    assert isinstance(found, Fault) and found.reason == "format_invalid"


def test_a_conversation_needs_an_answer() -> None:
    found = formats.messages({"messages": ASKED[:1]}, "messages")
    assert isinstance(found, Fault) and found.reason == "no_answer"
