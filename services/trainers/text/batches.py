"""Which rows are learned together, and how they are laid before the model.

The order is a pure function of the seed and the epoch, so that a run that goes on after its process died meets
the same batches as one that never broke.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from services.trainers.text.attention import end_to_end
from services.trainers.text.rows import TokenRow

# Rows of so many batches are sorted by length together where rows are padded: little is padded, much is mixed.
BATCHES_TO_SORT = 50
UNLABELLED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """What the model is given, and the answers: `labels` of the learned tokens alone.

    `inputs` has the `logits_to_keep` that say from which tokens these are told; with padded rows `kept` says it
    instead, numbers in the flattened batch.
    """

    inputs: dict[str, Any]
    labels: Any
    tokens: int
    kept: Any = None


def plan(
    lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int, pack_to: int = 0, sort: bool = False
) -> list[list[int]]:
    """The rows of each batch of one epoch, by their numbers; every row is there once.

    With *pack_to* a batch is *batch_size* sequences of at most so many tokens, each of one row or several; with
    *sort* rows of about the same length are together.
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    chance.shuffle(order)
    if pack_to:
        sequences = packed(order, lengths, pack_to)
        chance.shuffle(sequences)
        return [list(chain.from_iterable(found)) for found in _cut(sequences, batch_size)]
    if not sort:
        return _cut(order, batch_size)
    stretches = _cut(order, batch_size * BATCHES_TO_SORT)
    batches = [batch for some in stretches for batch in _cut(sorted(some, key=lambda row: lengths[row]), batch_size)]
    chance.shuffle(batches)
    return batches


def packed(order: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """The rows of *order* in sequences of at most *most* tokens, the longest first, each where it fits best."""
    sequences: list[list[int]] = []
    # The sequences that have so much room left, by that room.
    with_room: list[list[int]] = [[] for _ in range(most + 1)]
    for row in sorted(order, key=lambda row: -lengths[row]):
        length = min(lengths[row], most)
        room = next((room for room in range(length, most + 1) if with_room[room]), None)
        if room is None:
            sequences.append([])
            room, place = most, len(sequences) - 1
        else:
            place = with_room[room].pop()
        sequences[place].append(row)
        with_room[room - length].append(place)
    return sequences


def _cut(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def lay(rows: Sequence[TokenRow], device: Any, *, padded: bool = False) -> Batch:
    """*rows* end to end, or *padded* to the longest for a model that can only take them so."""
    return _side_by_side(rows, device) if padded else _end_to_end(rows, device)


def _end_to_end(rows: Sequence[TokenRow], device: Any) -> Batch:
    import numpy as np
    import torch

    ids = np.concatenate([row.ids for row in rows]).astype(np.int64)
    # Nothing is told from the token before a row's first one.
    learned = np.concatenate([_after_the_first(row) for row in rows])
    places = np.flatnonzero(learned)
    inputs = end_to_end([torch.from_numpy(row.ids.astype(np.int64)) for row in rows])
    inputs = {name: value.to(device) if hasattr(value, "to") else value for name, value in inputs.items()}
    kept = torch.from_numpy(places - 1).to(device)
    return Batch(inputs | {"logits_to_keep": kept}, torch.from_numpy(ids[places]).to(device), len(ids))


def _side_by_side(rows: Sequence[TokenRow], device: Any) -> Batch:
    import numpy as np
    import torch

    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    learned = np.zeros((len(rows), longest), bool)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row.ids
        mask[number, : len(row)] = 1
        learned[number, : len(row)] = _after_the_first(row)
    places = np.flatnonzero(learned.reshape(-1))
    inputs = {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}
    labels = torch.from_numpy(ids.reshape(-1)[places]).to(device)
    return Batch(inputs, labels, int(mask.sum()), torch.from_numpy(places - 1).to(device))


def _after_the_first(row: TokenRow) -> Any:
    learned = row.learned.copy()
    learned[0] = False
    return learned
