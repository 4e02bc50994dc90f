"""Which pieces of a row are learned: the answers, by chat templates and by templates of data sets."""

from pathlib import Path
from typing import Any

import pytest

from services.datasets import templates
from services.datasets.faults import Fault
from services.datasets.tokens import Tokens
from services.errors import Invalid
from services.trainers.text import prompting
from tests.language_models import byte_tokenizer

REWRITES_HISTORY = (
    "{% for message in messages %}{{ message['role'] }}: "
    "{{ message['content'] if loop.last else message['content'] | upper }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
THINKS = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<assistant><think></think>{% endif %}"
)


def tokens(folder: Path, template: str | None) -> Tokens:
    byte_tokenizer(folder, template)
    return Tokens(folder, otherwise=prompting.PLAIN_TEMPLATE)


@pytest.fixture
def chat(tiny_llama: Path) -> Tokens:
    return Tokens(tiny_llama)


def take(shape: str, row: dict[str, Any], words: Tokens, card: dict[str, Any] | None = None) -> Any:
    return prompting.pieces(shape, card or {}, words)(row)


def learned(found: Any) -> list[str]:
    return [text for text, learn in found if learn]


ANSWERED = [
    ("alpaca", {"instruction": "a", "input": "b", "output": "c"}, "a\nb"),
    ("instruction_response", {"instruction": "a", "response": "c"}, "a"),
    ("prompt_response", {"prompt": "a", "completion": "c"}, "a"),
    ("prompt_response", {"question": "a", "answer": "c"}, "a"),
    ("sharegpt", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "c"}]}, "a"),
    ("messages", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}]}, "a"),
]


@pytest.mark.parametrize(("shape", "row", "prompt"), ANSWERED, ids=[f"{n}-{one[0]}" for n, one in enumerate(ANSWERED)])
def test_the_answer_is_learned_with_its_end(shape: str, row: dict[str, Any], prompt: str, chat: Tokens) -> None:
    found = take(shape, row, chat)
    assert found == [(f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", False), ("c<|im_end|>", True)]


def test_every_turn_of_the_assistant_is_learned(chat: Tokens) -> None:
    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    found = take("messages", row, chat)
    assert learned(found) == ["b<|im_end|>", "d<|im_end|>"]
    assert "".join(text for text, _ in found) == str(chat.render(row["messages"])).rstrip()


def test_a_turn_of_no_weight_is_read_alone(chat: Tokens) -> None:
    row = {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "weight": 0},
            {"role": "user", "content": "c"},
            {"role": "assistant", "content": "d", "weight": 1},
        ]
    }
    assert learned(take("messages", row, chat)) == ["d<|im_end|>"]


def test_where_history_is_reworded_the_last_answer_is_learned(tmp_path: Path) -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "Done it.")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    found = take("messages", row, tokens(tmp_path, REWRITES_HISTORY))
    assert learned(found) == ["Done it.<|im_end|>"]


def test_a_prompt_that_thinks_ahead_ends_where_the_text_parts_from_it(tmp_path: Path) -> None:
    found = take("alpaca", {"instruction": "a", "output": "b"}, tokens(tmp_path, THINKS))
    assert found == [("<user>a<|im_end|><assistant>", False), ("b<|im_end|>", True)]


def test_a_base_without_a_chat_template_gets_a_plain_one_and_an_end(tmp_path: Path) -> None:
    found = take("alpaca", {"instruction": "a", "output": "b"}, tokens(tmp_path, None))
    assert found == [("### User:\na\n\n### Assistant:\n", False), ("b", True), ("<|im_end|>", True)]


TEMPLATES = {
    "answer last": ("### Q:\n{instruction}\n\n### A:\n{output}", "### Q:\nx\n\n### A:\n"),
    "with its end": ("{instruction} -> {output}<|im_end|>", "x -> "),
    "one column": ("Say: {output}", "Say: "),
    "braces": ("{{json}} {instruction} = {output}", "{json} x = "),
}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_what_a_template_says_before_the_answer_is_read_alone(name: str, chat: Tokens) -> None:
    template, prompt = TEMPLATES[name]
    text = templates.compile_(template)({"instruction": "x", "output": "y -> z"})
    found = take("text", {"text": text}, chat, {"parameters": {"template": template}})
    assert found[0] == (prompt, False)
    assert "".join(learned(found)) == "y -> z<|im_end|>"


def test_the_prompt_of_a_template_leaves_the_answer_to_the_model() -> None:
    card = {"parameters": {"template": "{{x}} {instruction}\n{input}\n### A:\n{output}<end>"}}
    assert prompting.prompt_template(card) == "{{x}} {instruction}\n{input}\n### A:\n"
    assert prompting.prompt_template({}) is None


def test_texts_worded_by_a_chat_template_are_taken_apart_by_its_marks(chat: Tokens) -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d e")]
    text = chat.render([{"role": role, "content": text} for role, text in turns])
    found = take("text", {"text": text}, chat, {"parameters": {"model": "tiny-llama"}})
    assert learned(found) == ["b<|im_end|>", "d e<|im_end|>"]


def test_a_plain_text_is_learned_whole_and_ends(chat: Tokens) -> None:
    assert take("text", {"text": "once"}, chat) == [("once", True), ("<|im_end|>", True)]
    assert take("text", {"text": "once<|im_end|>"}, chat) == [("once<|im_end|>", True)]


BAD_ROWS = {
    "empty text": ("text", {"text": "  "}, "no_text"),
    "no text": ("text", {"text": 7}, "no_text"),
    "no answer": ("messages", {"messages": [{"role": "user", "content": "a"}]}, "no_answer"),
    "answer first": ("messages", {"messages": [{"role": "assistant", "content": "a"}]}, "no_answer"),
    "unknown role": ("messages", {"messages": [{"role": "ghost", "content": "a"}]}, "format_invalid"),
    "no question": ("alpaca", {"instruction": "", "output": "b"}, "format_invalid"),
    "picture": ("alpaca", {"instruction": "a", "output": "b", "image": "x.png"}, "picture"),
}


@pytest.mark.parametrize("name", sorted(BAD_ROWS))
def test_a_bad_row_says_why(name: str, chat: Tokens) -> None:
    shape, row, reason = BAD_ROWS[name]
    found = take(shape, row, chat)
    assert isinstance(found, Fault) and found.reason == reason


@pytest.mark.parametrize("shape", ["table", "image_label", "image_text"])
def test_rows_that_are_no_text_are_refused(shape: str, chat: Tokens) -> None:
    with pytest.raises(Invalid) as caught:
        prompting.pieces(shape, {}, chat)
    assert caught.value.details == {"field": "dataset_path", "reason": "dataset_format", "format": shape}
