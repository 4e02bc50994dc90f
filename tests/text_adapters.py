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


SHORT = "short"


@pytest.fixture(scope="session")
def short_gguf(tmp_path_factory: pytest.TempPathFactory, chat_models: Path) -> Path:
    """A models folder with `short`: the first two layers of the starter, whole numbers of bf16 in a GGUF file of fp32.

    Transformers and llama.cpp then compute with the same weights, and may be compared token by token.
    """
    folder = tmp_path_factory.mktemp("short-models")
    (folder / SHORT).mkdir()
    (whole,) = (chat_models / "smollm2-135m-instruct").glob("*.gguf")
    write_first_layers(whole, folder / SHORT / "short.gguf", layers=2)
    return folder


@pytest.fixture(scope="session")
def short_base(short_gguf: Path) -> Path:
    """The same in the form of transformers."""
    from services.trainers import base_weights

    return base_weights.loadable(short_gguf / SHORT, models_dir=short_gguf)


@pytest.fixture(scope="session")
def gguf_adapters(tmp_path_factory: pytest.TempPathFactory, short_base: Path) -> dict[str, Path]:
    """Three adapters of `short` by name, for peft and for llama.cpp."""
    from services.adapters.gguf import write_gguf_adapter

    folder = tmp_path_factory.mktemp("gguf-adapters")
    found = {}
    for seed, name in enumerate(("one", "two", "three")):
        found[name] = make_adapter(short_base, folder / name, seed=seed, strength=0.1)
        write_gguf_adapter(found[name], short_base, found[name] / "adapter.gguf")
    return found


def write_first_layers(whole: Path, out: Path, *, layers: int) -> None:
    """Copy a GGUF model's keys and its first *layers* to *out*."""
    import gguf
    import torch

    reader = gguf.GGUFReader(whole)
    writer = gguf.GGUFWriter(out, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in {"general.architecture", "general.file_type"}:
            continue
        value = layers if field.name.endswith(".block_count") else field.contents()
        inner = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        if tensor.name.startswith("blk.") and int(tensor.name.split(".")[1]) >= layers:
            continue
        plain = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        writer.add_tensor(tensor.name, plain.bfloat16().float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
