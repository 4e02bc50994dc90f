"""Adapters with random weights that are strong enough to change what a model says, as training leaves them."""

from pathlib import Path

import pytest


def make_adapter(base: Path, folder: Path, *, seed: int, strength: float) -> Path:
    """A LoRA on every linear layer of the model in *base*, put into *folder*."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    asked = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, asked)
    torch.manual_seed(seed)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=strength)
    adapted.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def text_adapters(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> dict[str, Path]:
    """Two adapters of the tiny Llama, by name."""
    folder = tmp_path_factory.mktemp("text-adapters")
    return {
        name: make_adapter(tiny_llama, folder / name, seed=seed, strength=0.5)
        for seed, name in enumerate(("one", "two"))
    }
