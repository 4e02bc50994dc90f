"""How good a language model is on rows that it did not learn: the loss of their answers, and what it answers itself."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.datasets.tokens import Tokens
from services.measures import held_out, speaking, texts
from services.trainers.text import batches
from services.trainers.text.rows import TokenRow

DIGITS = 6
# So many logits are in memory at once, fp32; a batch has one row at least.
MOST_LOGITS = 2**25
MOST_TOKENS, BEYOND = 256, 16
# A loss of 700 and more is no number as a perplexity.
MOST_LOSS = 700.0

Check = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Questions:
    """Rows with a prompt: what is asked, in tokens, and the right answers as text and how long they are."""

    prompts: list[list[int]]
    truth: list[str]
    longest: int = 0


def questions(rows: Sequence[TokenRow], tokens: Tokens, most: int) -> Questions:
    """The last answers of the first *most* of *rows* that have something before them."""
    pairs = [pair for pair in map(held_out.answer_of, rows) if len(pair[0]) > 1][:most]
    truth = [tokens.text(answer, marks=False).strip() for _, answer in pairs]
    return Questions([prompt for prompt, _ in pairs], truth, max((len(answer) for _, answer in pairs), default=0))


def measure(
    model: Any, rows: Sequence[TokenRow], asked: Questions, tokens: Tokens, *, check: Check = lambda done: None
) -> dict[str, float]:
    """Loss and perplexity of the answers in *rows*, and what the model's own answers to *asked* are worth.

    *check* hears which part is done, and may raise.
    """
    loss = loss_of(model, rows, check=lambda done: check(0.4 * done))
    found = {"loss": round(loss, DIGITS), "perplexity": round(math.exp(min(loss, MOST_LOSS)), DIGITS)}
    if not asked.prompts:
        return found
    most = min(asked.longest + BEYOND, MOST_TOKENS)
    count = len(asked.prompts)
    spoken = speaking.speak(
        model, asked.prompts, most_tokens=most, end=tokens.end, check=lambda done: check(0.4 + 0.6 * done / count)
    )
    answers = [tokens.text(one.tokens, marks=False).strip() for one in spoken]
    found["exact_match"] = round(texts.exact_match(asked.truth, answers), DIGITS)
    found["rouge_l"] = round(texts.rouge_l(asked.truth, answers), DIGITS)
    return found


def loss_of(model: Any, rows: Sequence[TokenRow], *, check: Check = lambda done: None) -> float:
    """The mean loss of the tokens of the answers in *rows*, as a training's own validation counts it."""
    import torch

    words = int(model.get_input_embeddings().num_embeddings)
    total, answers, done = 0.0, 0, 0
    for batch in _batches(sorted(rows, key=len), words):
        check(done / len(rows))
        laid = batches.lay(batch, model.device, padded=True)
        with torch.no_grad():
            logits = model(**laid.inputs, use_cache=False).logits.flatten(0, 1)[laid.kept]
            total += float(torch.nn.functional.cross_entropy(logits.float(), laid.labels, reduction="sum"))
        answers += len(laid.labels)
        done += len(batch)
    return total / max(answers, 1)


def _batches(rows: list[TokenRow], words: int) -> list[list[TokenRow]]:
    """*rows*, from short to long, in batches that give at most MOST_LOGITS."""
    found: list[list[TokenRow]] = []
    for row in rows:
        if found and (len(found[-1]) + 1) * len(row) * words <= MOST_LOGITS:
            found[-1].append(row)
        else:
            found.append([row])
    return found
