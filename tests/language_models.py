"""Language models of real classes, tiny and with random weights, saved as a hub has them; rows to train them on.

Nothing is fetched: the tokenizer knows single bytes and the marks of a chat.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from services.contracts.models import CatalogRow
from services.contracts.training import TrainingRequest
from services.datasets.store import Located

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def byte_tokenizer(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> None:
    """A tokenizer whose tokens are bytes, with ChatML's marks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    built = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    built.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": MARKS[2], "pad_token": MARKS[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    if chat_template:
        (folder / "chat_template.jinja").write_text(chat_template)


def llama(folder: Path) -> Path:
    """A Llama of a few thousand weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = {"vocab_size": 259, "bos_token_id": 257, "eos_token_id": 258, "pad_token_id": 256}
    LlamaForCausalLM(LlamaConfig(**SIZES, **words)).save_pretrained(folder)
    byte_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama, its tokenizer and its chat template."""
    return llama(tmp_path_factory.mktemp("language") / "tiny-llama")


def row_of(folder: Path, engine: str = "transformers_text") -> CatalogRow:
    return CatalogRow(id=folder.name, name=folder.name, abilities=["chat", "training"], licence="own", engine=engine)


def asked(**more: Any) -> TrainingRequest:
    """A request with values that suit tiny models."""
    told = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "max_length": 128, "lora": {"r": 4}}
    return TrainingRequest(trainer="lora", base_model="tiny-llama", dataset_path="facts", **(told | more))


def alpaca(count: int) -> list[dict[str, Any]]:
    """Questions with answers of several lengths."""
    return [{"instruction": f"What follows {n}?", "output": f"{n + 1}, " * (1 + n % 5)} for n in range(count)]


def located(folder: Path, rows: list[dict[str, Any]], shape: str = "alpaca", **more: Any) -> Located:
    """*rows* as a data set that was uploaded."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    facts: dict[str, Any] = {"id": "dataset-1", "owner": "lin", "name": "facts", "path": "data/raw/facts.jsonl"}
    parts = {"train": path} | more.pop("parts", {})
    return Located(**facts, folder=folder, parts=parts, format=shape, rows=len(rows), **more)


@pytest.fixture(scope="session")
def dequantized(chat_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter model as transformers loads it; half a minute's work, done once a session."""
    from services.trainers import base_weights

    models_dir = tmp_path_factory.mktemp("dequantized")
    return base_weights.loadable(chat_models / "smollm2-135m-instruct", models_dir=models_dir)
