"""Rows as numbers of tokens: what is learned of them, what is cut and what is left out."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.datasets.reading import Limits
from services.datasets.store import Located
from services.datasets.tokens import Tokens
from services.errors import Invalid
from services.trainers.text.rows import TextRows, read_part, tokenizer, training_rows
from tests.language_models import alpaca, located

LIMITS = Limits(2**30, 2**20)


@pytest.fixture
def tokens(tiny_llama: Path) -> Tokens:
    return tokenizer(tiny_llama)


def read(dataset: Located, tokens: Tokens, max_length: int = 512) -> TextRows:
    return read_part(dataset, "train", tokens, max_length=max_length, limits=LIMITS)


def test_exactly_the_answers_tokens_are_learned(tmp_path: Path, tokens: Tokens, tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    found = read(located(tmp_path, [{"instruction": "Who?", "output": "你好 Ada"}]), tokens)
    row = found.rows[0]
    theirs = AutoTokenizer.from_pretrained(tiny_llama)
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "你好 Ada"}]
    prompt = theirs.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    whole = theirs.apply_chat_template(turns, return_dict=False)
    assert row.ids.tolist() == whole[:-1]  # But for the line's end after the answer's.
    assert row.learned.tolist() == [False] * len(prompt) + [True] * (len(whole) - 1 - len(prompt))
    assert theirs.decode(row.ids[row.learned]) == "你好 Ada<|im_end|>"


def test_the_starter_models_tokens_are_those_of_transformers(tmp_path: Path, chat_models: Path) -> None:
    tokens = tokenizer(chat_models / "smollm2-135m-instruct")
    row = read(located(tmp_path, [{"instruction": "Count to 12.", "output": "One, 2"}]), tokens).rows[0]
    assert row.ids[row.learned].tolist() == [*tokens.ids(["One, 2"])[0], 2]
    assert row.ids[:2].tolist() == [1, *tokens.ids(["system"])[0]]


def test_a_long_row_is_cut_at_its_end_and_counted(tmp_path: Path, tokens: Tokens) -> None:
    rows = [{"instruction": "a", "output": "b" * 100}, {"instruction": "a", "output": "b"}]
    found = read(located(tmp_path, rows), tokens, max_length=40)
    assert [len(row) for row in found.rows] == [40, 22]
    assert (found.cut, found.longest, found.unanswered) == (1, 121, 0)


def test_a_row_whose_answer_was_cut_off_is_left_out(tmp_path: Path, tokens: Tokens) -> None:
    rows = [{"instruction": "a" * 100, "output": "b"}, {"instruction": "a", "output": "b"}]
    found = read(located(tmp_path, rows), tokens, max_length=40)
    assert (len(found.rows), found.unanswered) == (1, 1)


def test_bad_rows_are_counted_with_their_lines(tmp_path: Path, tokens: Tokens) -> None:
    dataset = located(tmp_path, [*alpaca(2), {"instruction": "", "output": "x"}])
    found = read(dataset, tokens)
    assert (len(found.rows), found.faults.count, found.faults.first[0][0]) == (2, 1, 3)


def test_what_the_operator_put_there_is_known_by_its_bytes(tmp_path: Path, tokens: Tokens) -> None:
    (tmp_path / "rows.csv").write_text("prompt,response\na,b\nc,d\n")
    by_hand = Located("", "", "rows.csv", "data/rows.csv", tmp_path, {"train": tmp_path / "rows.csv"}, "")
    assert len(read(by_hand, tokens).rows) == 2


def test_a_processed_data_set_has_its_own_validation(tmp_path: Path, tokens: Tokens) -> None:
    other = located(tmp_path, alpaca(3)).parts["train"]
    dataset = located(tmp_path, alpaca(40), parts={"validation": other})
    train, validation = training_rows(dataset, tokens, max_length=512, limits=LIMITS)
    assert (len(train.rows), len(validation.rows)) == (40, 3)


def test_without_one_a_twentieth_is_held_out_the_same_each_time(tmp_path: Path, tokens: Tokens) -> None:
    dataset = located(tmp_path, alpaca(40))
    told = []
    for _ in range(2):
        train, validation = training_rows(dataset, tokens, max_length=512, limits=LIMITS)
        told.append([row.ids.tolist() for row in validation.rows])
        assert (len(train.rows), len(validation.rows)) == (38, 2)
    assert told[0] == told[1]


def test_few_rows_are_all_learned(tmp_path: Path, tokens: Tokens) -> None:
    train, validation = training_rows(
        located(tmp_path, alpaca(5)), tokens, max_length=512, limits=LIMITS
    )  # fmt: skip
    assert (len(train.rows), len(validation.rows)) == (5, 0)


BAD: dict[str, tuple[list[dict[str, Any]], str]] = {
    "empty": ([], "no_rows"),
    "one row": (alpaca(1), "too_few_rows"),
    "all bad": ([{"instruction": "", "output": "x"}] * 3, "bad_rows"),
    "answers cut off": ([{"instruction": "a" * 600, "output": "b"}] * 3, "no_answers"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_rows_that_teach_nothing_are_refused(name: str, tmp_path: Path, tokens: Tokens) -> None:
    rows, reason = BAD[name]
    with pytest.raises(Invalid) as caught:
        training_rows(located(tmp_path, rows), tokens, max_length=64, limits=LIMITS)
    assert caught.value.details["reason"] == reason
    assert caught.value.say("zh") != caught.value.say("en")


def test_a_zip_of_pictures_is_refused(tmp_path: Path, tokens: Tokens) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("metadata.jsonl", json.dumps({"file_name": "a.png", "text": "x"}))
        archive.writestr("a.png", b"\x89PNG\r\n\x1a\n")
    dataset = Located(
        "d", "lin", "p", "data/raw/p.zip", tmp_path, {"train": tmp_path / "p.zip"}, "image_text", file_kind="zip"
    )
    with pytest.raises(Invalid) as caught:
        read(dataset, tokens)
    assert caught.value.details["reason"] == "dataset_format"
