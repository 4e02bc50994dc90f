"""Whether a merged model says what its adapter says: greedy tokens, and how far logits differ at each of them.

The merged model answers first. The adapter then follows the same tokens: as long as its likeliest token is the
merged model's at every place, the two answers are one and the same.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from services.measures.speaking import Spoken, follow

if TYPE_CHECKING:
    import numpy as np

PROMPTS, TOKENS = 32, 24
# How far logits may differ at most that were computed with weights rounded so. Rounding is noise: an adapter merged in
# bf16 into a model of 135M differed by 0.19 in the mean and by 1.15 at most over 34 million logits, where the adapter
# itself made a difference of 6.7 in the mean; fp16 rounds eight times finer, and blocks of eight bits about as bf16.
TOLERANCE = {"float32": 0.02, "float16": 0.5, "bfloat16": 4.0, "F16": 0.5, "Q8_0": 4.0}
# Of two tokens that are nearly as likely either may come first once weights are rounded: within this share of it.
TIE = 0.5
# The mean difference may be this share of what the adapter does; a merge that lost it, or took it twice, is beyond.
MOST_OF_EFFECT = 0.5
DIGITS = 6


class Parity(BaseModel):
    """The report that is kept with a merged model."""

    passed: bool
    prompts: int
    held_out: str = Field(description="Which part of the data set the prompts are of")
    general_prompts: int = Field(0, description="How many of them are of no data set")
    tokens: int = Field(description="Greedy tokens compared")
    equal_tokens: int
    equal_answers: int = Field(description="Prompts whose answers are the same to the last token")
    near_ties: int = Field(description="Tokens that differ where two were as likely, within the tolerance")
    largest_logit_difference: float
    mean_logit_difference: float
    adapter_effect: float = Field(description="Mean difference of the adapter's logits from its base's alone")
    tolerance: float
    dtype: str
    compared: str = Field("logits", description="`logits`, or `logprobs` of the likeliest tokens")
    equal_tokenizers: bool = True


class Tally:
    """Adds up the comparison of one prompt after another."""

    def __init__(self, dtype: str, *, compared: str = "logits") -> None:
        self.dtype, self.tolerance, self.compared = dtype, TOLERANCE.get(dtype, TOLERANCE["bfloat16"]), compared
        self.tokens = self.equal = self.answers = self.ties = self.prompts = 0
        self.largest = 0.0
        self._sums = [0.0, 0.0]
        self._counts = [0, 0]

    def add(self, tokens: Sequence[int], adapter: "np.ndarray[Any, Any]", differences: "np.ndarray[Any, Any]") -> None:
        """Count an answer: *adapter* has its logits (or logarithms of chances) at each of *tokens*."""
        import numpy as np

        likeliest = adapter.argmax(axis=1)
        places = np.arange(len(tokens))
        margin = adapter[places, likeliest] - adapter[places, np.asarray(tokens)]
        same = likeliest == np.asarray(tokens)
        self.prompts += 1
        self.tokens += len(tokens)
        self.equal += int(same.sum())
        self.answers += bool(same.all())
        self.ties += int((~same & (margin <= TIE * self.tolerance)).sum())
        self.largest = max(self.largest, float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0)))
        self._note(0, differences)

    def note_effect(self, effect: "np.ndarray[Any, Any]") -> None:
        """Count how far the adapter is from its base where the merged model is from the adapter."""
        self._note(1, effect)

    def _note(self, which: int, differences: "np.ndarray[Any, Any]") -> None:
        self._sums[which] += float(differences.sum())
        self._counts[which] += differences.size

    def report(self, *, held_out: str, general_prompts: int, equal_tokenizers: bool = True) -> Parity:
        difference, effect = (total / count if count else 0.0 for total, count in zip(*self._both, strict=True))
        # Nearer to the adapter than the adapter is to its base, or the merge lost what was learned.
        kept = difference < MOST_OF_EFFECT * effect or self.largest <= self.tolerance / 10
        every = self.equal + self.ties == self.tokens and self.tokens > 0
        return Parity(
            passed=kept and every and equal_tokenizers and self.largest <= self.tolerance,
            prompts=self.prompts,
            held_out=held_out,
            general_prompts=general_prompts,
            tokens=self.tokens,
            equal_tokens=self.equal,
            equal_answers=self.answers,
            near_ties=self.ties,
            largest_logit_difference=round(min(self.largest, 1e9), DIGITS),
            mean_logit_difference=round(difference, DIGITS),
            adapter_effect=round(effect, DIGITS),
            tolerance=self.tolerance,
            dtype=self.dtype,
            compared=self.compared,
            equal_tokenizers=equal_tokenizers,
        )

    @property
    def _both(self) -> tuple[list[float], list[int]]:
        return self._sums, self._counts


def compare(adapter: Any, prompts: Sequence[list[int]], merged: Sequence[Spoken], tally: Tally) -> None:
    """Let *adapter*, a model of peft's, follow what the merged model said of *prompts*, and count in *tally*."""
    import numpy as np

    for prompt, spoken in zip(prompts, merged, strict=True):
        assert spoken.logits is not None
        own = follow(adapter, prompt, spoken.tokens)
        with adapter.disable_adapter():
            base = follow(adapter, prompt, spoken.tokens)
        tally.add(spoken.tokens, own, np.abs(own - spoken.logits))
        tally.note_effect(np.abs(own - base))
