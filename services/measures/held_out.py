"""Rows that a training did not learn, for measuring what became of it: prompts, and the answers that are right."""

from dataclasses import dataclass, field

from services.datasets.reading import Limits
from services.datasets.store import Located
from services.datasets.tokens import Tokens
from services.trainers.text.rows import TokenRow, read_part, training_rows

# Which part is taken, the best first; `held_out` is what the trainer itself put aside, `train` was learned.
TEST, VALIDATION, HELD_OUT, TRAIN = "test", "validation", "held_out", "train"

# For a model whose data set is gone or too small: anything, as long as it is the same each time.
SUBJECTS = ("the sea", "a clock", "bread", "the moon", "a bridge", "music", "winter", "a library")
QUESTIONS = (
    "What is {subject}?",
    "Write one sentence about {subject}.",
    "Name three things that belong to {subject}.",
    "用一句话介绍 {subject}。",
)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The rows of one part, and which it is."""

    split: str
    rows: list[TokenRow] = field(default_factory=list)
    cut: int = 0
    """Rows that are longer than what was learned of a row."""


def read(
    dataset: Located, tokens: Tokens, *, max_length: int, most: int, limits: Limits, learned: bool = False
) -> HeldOut:
    """The first *most* rows of the best part of *dataset*; with *learned* those that were learned where there is none.

    A part that was split by the service lies in the order of a hash, so its first rows are a fair choice. Raises
    Invalid for rows that are no text.
    """
    for part in (TEST, VALIDATION):
        if part in dataset.parts:
            found = read_part(dataset, part, tokens, max_length=max_length, limits=limits, most=most)
            if found.rows:
                return HeldOut(part, found.rows[:most], found.cut)
    train, aside = training_rows(dataset, tokens, max_length=max_length, limits=limits)
    if aside.rows or not learned:
        return HeldOut(HELD_OUT, aside.rows[:most], aside.cut)
    return HeldOut(TRAIN, train.rows[:most], train.cut)


def answer_of(row: TokenRow) -> tuple[list[int], list[int]]:
    """The last answer of *row*: all tokens before it, and its own; the first token of a text is asked for nothing."""
    learned = [bool(flag) for flag in row.learned]
    learned[0] = False
    end = len(learned) - learned[::-1].index(True)
    start = end
    while start and learned[start - 1]:
        start -= 1
    ids = [int(number) for number in row.ids]
    return ids[:start], ids[start:end]


def general_prompts(tokens: Tokens, count: int) -> list[list[int]]:
    """Prompts of no data set, *count* at most, as a user's turn of the chat template."""
    texts = [question.format(subject=subject) for question in QUESTIONS for subject in SUBJECTS][:count]
    turns = [tokens.render([{"role": "user", "content": text}], add_generation_prompt=True) for text in texts]
    worded = [turn if isinstance(turn, str) else text for turn, text in zip(turns, texts, strict=True)]
    return tokens.ids(worded)
