"""Rows end to end: each is as it is alone, and what cannot be laid so is found out."""

from pathlib import Path
from typing import Any

import pytest
import torch

from services.trainers.text import attention


def load(folder: Path, **more: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **more).eval()


@pytest.fixture
def rows() -> list[torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (length,), generator=chance) for length in (5, 11, 2, 11)]


@torch.no_grad()
def test_logits_end_to_end_are_those_of_each_row_alone(tiny_llama: Path, rows: list[torch.Tensor]) -> None:
    plain, model = load(tiny_llama), load(tiny_llama)
    assert attention.fits(model)
    together = model(**attention.end_to_end(rows), use_cache=False).logits[0]
    alone = torch.cat([plain(input_ids=row[None]).logits[0] for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_nothing_leaks_from_one_row_into_another(tiny_llama: Path, rows: list[torch.Tensor]) -> None:
    model = load(tiny_llama)
    assert attention.fits(model)
    words = torch.nn.functional.one_hot(torch.cat(rows), 259).float().requires_grad_()
    given = attention.end_to_end(rows)
    embedded = words @ model.get_input_embeddings().weight
    inputs = {"inputs_embeds": embedded[None], "position_ids": given["position_ids"]}
    logits = model(**inputs, row_lengths=given["row_lengths"], use_cache=False).logits[0]
    logits[5:16].square().sum().backward()  # The second row alone.
    felt = words.grad.abs().sum(1) > 0
    assert felt.nonzero().flatten().tolist() == list(range(5, 16))


@torch.no_grad()
def test_a_row_longer_than_the_window_sees_no_more_than_it(rows: list[torch.Tensor]) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    from tests.language_models import SIZES

    told = {**SIZES, "vocab_size": 259, "sliding_window": 6}
    plain, model = (MistralForCausalLM(MistralConfig(**told)).eval() for _ in range(2))
    model.load_state_dict(plain.state_dict())
    assert attention.fits(model)
    together = model(**attention.end_to_end(rows), use_cache=False).logits[0]
    alone = torch.cat([plain(input_ids=row[None]).logits[0] for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_a_model_that_remembers_across_rows_is_left_as_it_was() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=64, state_size=4))
    before = model.config._attn_implementation
    assert not attention.fits(model)
    assert model.config._attn_implementation == before
