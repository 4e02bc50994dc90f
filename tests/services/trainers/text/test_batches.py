"""Which rows are learned together, and how they are laid before the model."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.trainers.text import batches
from services.trainers.text.rows import TokenRow

LENGTHS = [3, 9, 4, 4, 7, 1, 10, 2, 5, 6, 8]


def row(ids: Sequence[int], learned: Sequence[int]) -> TokenRow:
    return TokenRow(np.array(ids, np.int32), np.array(learned, bool))


PLANS = {"shuffled": {}, "sorted": {"sort": True}, "packed": {"pack_to": 10}}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_an_epoch_has_every_row_once_in_an_order_of_its_own(name: str) -> None:
    options = {"batch_size": 2, "seed": 7, **PLANS[name]}
    first, again, second = (batches.plan(LENGTHS, epoch=epoch, **options) for epoch in (0, 0, 1))  # type: ignore[arg-type]
    assert sorted(number for batch in first for number in batch) == list(range(len(LENGTHS)))
    assert first == again != second


def test_sorted_batches_hold_rows_of_about_one_length() -> None:
    lengths = [1, 100] * 20
    for batch in batches.plan(lengths, batch_size=4, seed=1, epoch=0, sort=True):
        assert len({lengths[number] for number in batch}) == 1


def test_packed_sequences_are_full_and_never_too_long() -> None:
    sequences = batches.packed(range(len(LENGTHS)), LENGTHS, 10)
    sums = sorted(sum(LENGTHS[number] for number in sequence) for sequence in sequences)
    assert sums == [9, 10, 10, 10, 10, 10]


def test_rows_end_to_end_tell_where_each_begins_and_what_follows_what() -> None:
    batch = batches.lay([row([5, 6, 7], [0, 1, 1]), row([8, 9], [1, 1])], "cpu")
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch.inputs["row_lengths"] == [3, 2]
    # 6 and 7 are told from the tokens before them, 9 from 8; 8 begins a row and follows nothing.
    assert batch.inputs["logits_to_keep"].tolist() == [0, 1, 3]
    assert batch.labels.tolist() == [6, 7, 9]
    assert batch.tokens == 5


def test_padded_rows_tell_the_same() -> None:
    batch = batches.lay([row([5, 6, 7], [0, 1, 1]), row([8, 9], [1, 1])], "cpu", padded=True)
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (batch.kept.tolist(), batch.labels.tolist(), batch.tokens) == ([0, 1, 3], [6, 7, 9], 5)
