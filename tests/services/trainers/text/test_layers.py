"""Adapters in one piece: peft's results, and a chance that is fair."""

from pathlib import Path
from typing import Any

import pytest
import torch

from services.trainers.text import layers
from services.trainers.text.model import learned, load_base, with_adapter
from tests.language_models import asked


def adapted(folder: Path, *, fast: bool, dropout: float = 0.0, **more: Any) -> Any:
    """The tiny model with an adapter that says something."""
    request = asked(lora={"r": 4, "lora_dropout": dropout}, **more)
    model = with_adapter(load_base(folder, request, "cpu"), request, base_name="tiny-llama")
    chance = torch.Generator().manual_seed(3)
    for parameter in learned(model).values():
        parameter.data = torch.randn(parameter.shape, generator=chance) * 0.1
    if fast:
        layers.speed_up(model)
    return model.train()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    ids = torch.arange(24).view(2, 12)
    model(input_ids=ids, labels=ids).loss.backward()
    return {name: parameter.grad for name, parameter in learned(model).items()}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
def test_gradients_are_those_of_peft(tiny_llama: Path, checkpointing: bool) -> None:
    more = {"gradient_checkpointing": checkpointing}
    ours, theirs = (gradients(adapted(tiny_llama, fast=fast, **more)) for fast in (True, False))
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-6, rtol=1e-4)


def test_nothing_is_dropped_when_it_does_not_learn(tiny_llama: Path) -> None:
    ids = torch.arange(12)[None]
    with torch.no_grad():
        ours, theirs = (adapted(tiny_llama, fast=f, dropout=0.5).eval()(input_ids=ids).logits for f in (True, False))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_what_is_dropped_has_the_mean_of_what_is_not_and_its_own_gradient() -> None:
    states = torch.ones(400, 64, requires_grad=True)
    below, above = torch.full((1, 64), 1 / 64, requires_grad=True), torch.ones(1, 1, requires_grad=True)
    torch.manual_seed(0)
    output = layers._adapted().apply(torch.zeros(400, 1), states, below, above, 1.0, 64)
    assert abs(float(output.mean()) - 1) < 0.02
    output.sum().backward()
    kept = states.grad != 0
    assert 0.73 < float(kept.float().mean()) < 0.77
    # Each row is the sum of what was kept of it, scaled, which is also how its gradients must come.
    torch.testing.assert_close(kept.sum(1, keepdim=True) / 64 * 4 / 3, output, rtol=1e-4, atol=0)
    torch.testing.assert_close(below.grad, kept.sum(0, keepdim=True) * 4 / 3, rtol=1e-4, atol=0)


def test_chance_is_the_same_from_the_same_seed(tiny_llama: Path) -> None:
    told = []
    for _ in range(2):
        model = adapted(tiny_llama, fast=True, dropout=0.3)
        torch.manual_seed(5)
        told.append(gradients(model))
    for name, gradient in told[0].items():
        assert torch.equal(gradient, told[1][name])
