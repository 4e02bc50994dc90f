"""Answers of a transformers model that are written together: one forward pass gives each of them a token.

Rows are padded on their left to one length. They join between steps and leave when they end, so that none waits
for the longest.
"""

import inspect
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.contracts.chat import FinishReason
from services.engines.text_sampling import Sampler

if TYPE_CHECKING:
    import torch


@dataclass(eq=False)
class Row:
    """One answer: its prompt, what was written of it, and where its reader hears of it.

    `heard` gets a token, then a finish reason, or an error.
    """

    ids: list[int]
    most_tokens: int
    sampler: Sampler
    adapter: tuple[str, Any] | None = None
    """Name and folder of the adapter that it is written with."""
    written: list[int] = field(default_factory=list)
    heard: "queue.SimpleQueue[int | FinishReason | Exception]" = field(default_factory=queue.SimpleQueue)
    given_up: threading.Event = field(default_factory=threading.Event)
    ended: bool = False

    def write(self, token: int, ends: set[int]) -> None:
        """Take the next token; one of *ends* ends the answer."""
        if token in ends:
            self.end("stop")
            return
        self.written.append(token)
        self.heard.put(token)
        if len(self.written) >= self.most_tokens:
            self.end("length")

    def end(self, why: FinishReason | Exception) -> None:
        self.ended = True
        self.heard.put(why)


class Batch:
    """Rows of one adapter with their cache: keys and values, shape (rows, heads, tokens, width), in each layer."""

    def __init__(self, model: Any, ends: set[int], rows: list[Row]) -> None:
        """Read the prompts of *rows* and write the first token of each."""
        import torch
        from transformers import DynamicCache

        self._model, self._ends, self.rows = model, ends, rows
        length = max(len(row.ids) for row in rows)
        ids = torch.tensor([[0] * (length - len(row.ids)) + row.ids for row in rows], device=model.device)
        self._mask = torch.tensor(
            [[0] * (length - len(row.ids)) + [1] * len(row.ids) for row in rows], device=model.device
        )
        self._cache: Any = DynamicCache()
        self._forward(ids, (self._mask.cumsum(-1) - 1).clamp(min=0))

    def step(self) -> None:
        """Write one more token of each row."""
        import torch

        last = torch.tensor([[row.written[-1]] for row in self.rows], device=self._mask.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.rows), 1)], dim=1)
        self._forward(last, self._mask.sum(-1, keepdim=True) - 1)

    def _forward(self, ids: "torch.Tensor", positions: "torch.Tensor") -> None:
        import torch

        wanted = {"position_ids": positions, "logits_to_keep": 1}
        taken = _parameters(type(self._model))
        with torch.inference_mode():
            told = self._model(
                input_ids=ids,
                attention_mask=self._mask,
                past_key_values=self._cache,
                use_cache=True,
                **{name: value for name, value in wanted.items() if name in taken},
            )
            scores = told.logits[:, -1].float()
            likeliest = scores.argmax(-1).tolist()
            for number, row in enumerate(self.rows):
                greedy = row.sampler.greedy
                row.write(likeliest[number] if greedy else row.sampler.pick(scores[number], row.written), self._ends)

    def drop_ended(self) -> None:
        """Let rows go that ended or that nobody reads any more, and the padding that they alone needed."""
        import torch

        stay = [at for at, row in enumerate(self.rows) if not row.ended and not row.given_up.is_set()]
        if len(stay) == len(self.rows):
            return
        self.rows = [self.rows[at] for at in stay]
        if not stay:
            return
        numbers = torch.tensor(stay, device=self._mask.device)
        self._mask = self._mask[numbers]
        first = int(self._mask.argmax(-1).min())
        self._mask = self._mask[:, first:]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[numbers, :, first:], layer.values[numbers, :, first:]

    def join(self, other: "Batch") -> None:
        """Take the rows of *other* in, which goes with the same adapter."""
        import torch

        length = max(self._mask.shape[1], other._mask.shape[1])
        self._mask = torch.cat([_padded(one._mask, length, 1) for one in (self, other)])
        for layer, more in zip(self._cache.layers, other._cache.layers, strict=True):
            layer.keys = torch.cat([_padded(one.keys, length, 2) for one in (layer, more)])
            layer.values = torch.cat([_padded(one.values, length, 2) for one in (layer, more)])
        self.rows += other.rows


def _padded(tensor: "torch.Tensor", length: int, side: int) -> "torch.Tensor":
    """*tensor* with zeros before it, so that its dimension *side* has *length*."""
    import torch

    missing = length - tensor.shape[side]
    if not missing:
        return tensor
    shape = list(tensor.shape)
    shape[side] = missing
    return torch.cat([tensor.new_zeros(shape), tensor], dim=side)


def _parameters(model: type) -> set[str]:
    """What the forward pass of *model* takes; not every family is told positions."""
    return set(inspect.signature(model.forward).parameters)  # type: ignore[attr-defined]
