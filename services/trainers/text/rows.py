"""Rows of a data set as a language model learns them: numbers of tokens, and which of them are learned."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.datasets import formats
from services.datasets.faults import Fault, Faults
from services.datasets.reading import Limits, Nature, Source
from services.datasets.store import Located
from services.datasets.tokens import Tokens
from services.errors import Invalid
from services.trainers.text import prompting
from services.trainers.text.prompting import Piece

if TYPE_CHECKING:
    import numpy as np

ROWS_A_BATCH = 256
# What the format of a file is judged by that nobody has read yet.
ROWS_TO_KNOW = 100
# Without a part for validation a twentieth of the rows is held out, where there are enough of them.
LEAST_TO_HOLD_OUT = 20
MOST_HELD_OUT = 100
MOST_VALIDATED = 512


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One row: `ids` int32, shape (tokens,), and as many booleans that say which of them are learned."""

    ids: "np.ndarray[Any, Any]"
    learned: "np.ndarray[Any, Any]"

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class TextRows:
    """The rows of one part, and what became of those that are not among them."""

    rows: list[TokenRow] = field(default_factory=list)
    read: int = 0
    longest: int = 0
    """Tokens of the longest row before it was cut."""
    cut: int = 0
    unanswered: int = 0
    """Rows left out because nothing of them is learned: the cut took their answers."""
    faults: Faults = field(default_factory=Faults)

    def add(self, ids: list[int], learned: list[bool], max_length: int) -> None:
        """Keep a row, cut at *max_length*."""
        import numpy as np

        self.longest = max(self.longest, len(ids))
        self.cut += len(ids) > max_length
        # The first token follows nothing, so nobody learns to say it.
        if not any(learned[1:max_length]):
            self.unanswered += 1
            return
        self.rows.append(TokenRow(np.array(ids[:max_length], np.int32), np.array(learned[:max_length], bool)))


def tokenizer(base: Path) -> Tokens:
    """The tokenizer of the model in *base*, which words chats by its own template, or plainly. Raises Unavailable."""
    return Tokens(base, otherwise=prompting.PLAIN_TEMPLATE)


def training_rows(dataset: Located, tokens: Tokens, *, max_length: int, limits: Limits) -> tuple[TextRows, TextRows]:
    """The rows to learn and those to validate on.

    Without a part for validation a few are held out, which are the same each time. Raises Invalid for a data set
    that nothing can be learned from.
    """
    train = read_part(dataset, "train", tokens, max_length=max_length, limits=limits)
    _check(train, max_length)
    if "validation" in dataset.parts:
        validation = read_part(dataset, "validation", tokens, max_length=max_length, limits=limits)
        validation.rows = validation.rows[:MOST_VALIDATED]
    else:
        validation = _hold_out(train)
    return train, validation


def read_part(
    dataset: Located, part: str, tokens: Tokens, *, max_length: int, limits: Limits, most: int | None = None
) -> TextRows:
    """The rows of one part of *dataset*, in their order; with *most* no more are read than give so many.

    Raises Invalid for a format that is no text.
    """
    found = TextRows()
    source = _source(dataset, part, limits)
    shape = dataset.format or _format(source)
    if source.nature.kind == "zip":
        raise prompting.not_text(shape)
    take_apart = prompting.pieces(shape, dataset.card, tokens)
    begin = tokens.begin if shape == "text" else []

    def good() -> Iterator[list[Piece]]:
        for line, row in source.rows():
            found.read += 1
            told = row if isinstance(row, Fault) else take_apart(row)
            if isinstance(told, Fault):
                found.faults.add(line, told)
            else:
                yield told

    for ids, learned in _numbered(good(), tokens):
        found.add([*begin, *ids], [*(False for _ in begin), *learned], max_length)
        if most is not None and len(found.rows) >= most:
            break
    return found


def _source(dataset: Located, part: str, limits: Limits) -> Source:
    # What the operator put there by hand nobody has read yet, and its own bytes tell what it is.
    known = Nature(dataset.file_kind, dataset.encoding) if dataset.id else None  # type: ignore[arg-type]
    return Source(dataset.parts[part], limits, known)


def _format(source: Source) -> str:
    from collections import Counter

    first = islice((row for _, row in source.rows() if not isinstance(row, Fault)), ROWS_TO_KNOW)
    return formats.of_rows(Counter(tuple(row) for row in first))


def _numbered(rows: Iterable[list[Piece]], tokens: Tokens) -> Iterator[tuple[list[int], list[bool]]]:
    """The tokens of each row. Its pieces are numbered apart, as a prompt is before there is an answer."""
    rows = iter(rows)
    while batch := list(islice(rows, ROWS_A_BATCH)):
        numbers = iter(tokens.ids([text for text, _ in chain.from_iterable(batch)]))
        for row in batch:
            ids: list[int] = []
            learned: list[bool] = []
            for (_, learn), found in zip(row, numbers, strict=False):
                ids += found
                learned += [learn] * len(found)
            yield ids, learned


def _hold_out(train: TextRows) -> TextRows:
    count = min(len(train.rows) // LEAST_TO_HOLD_OUT, MOST_HELD_OUT)
    chosen = set(random.Random(0).sample(range(len(train.rows)), count))
    held = TextRows(rows=[train.rows[number] for number in sorted(chosen)], read=count)
    train.rows = [row for number, row in enumerate(train.rows) if number not in chosen]
    return held


def _check(train: TextRows, max_length: int) -> None:
    if len(train.rows) > 1:
        return
    if train.rows:
        raise _unusable(
            "The data set has one row that can be trained on; two are the least.",
            "数据集只有一行可用于训练，至少需要两行。",
            "too_few_rows",
        )
    if not train.read:
        raise _unusable("The data set is empty.", "数据集为空。", "no_rows")
    if train.faults.first:
        line, fault = train.faults.first[0]
        raise _unusable(
            f"No row of the data set can be trained on; the first: line {line} {fault.en}.",
            f"数据集中没有可用于训练的行，首个错误：第 {line} 行{fault.zh}。",
            "bad_rows",
        )
    raise _unusable(
        f"Every row is longer than max_length ({max_length} tokens) before its answer begins; raise max_length, the "
        f"longest row has {train.longest} tokens.",
        f"所有行在回答开始之前就已超过 max_length（{max_length} 个 token）；请调大 max_length，"
        f"最长的行有 {train.longest} 个 token。",
        "no_answers",
    )


def _unusable(en: str, zh: str, reason: str) -> Invalid:
    return Invalid("dataset_path", en, zh, reason=reason)
