"""Bases: safetensors as they are, GGUF dequantized once, and everything else refused before it is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.errors import Invalid, Unavailable
from services.trainers import base_weights

CAUSAL = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def test_safetensors_are_loaded_where_they_lie(tiny_llama: Path, tmp_path: Path) -> None:
    assert base_weights.loadable(tiny_llama, models_dir=tmp_path) == tiny_llama
    assert not list(tmp_path.iterdir())


def test_shapes_come_from_headers_alone(tiny_llama: Path) -> None:
    found = base_weights.shapes(tiny_llama)
    assert found["model.embed_tokens.weight"] == (259, 32)
    assert found["model.layers.1.mlp.up_proj.weight"] == (64, 32)


def config(folder: Path, **told: object) -> None:
    (folder / "config.json").write_text(json.dumps(CAUSAL | told))


def pickled(folder: Path) -> None:
    config(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")


def broken(folder: Path) -> None:
    config(folder)
    (folder / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json")


def without_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pictures": (lambda folder: (folder / "model_index.json").write_text("{}"), "pictures"),
    "empty folder": (lambda folder: None, "no language model"),
    "broken configuration": (without_json, "configuration"),
    "a classifier": (lambda folder: config(folder, architectures=["BertForSequenceClassification"]), "causal"),
    "no architecture": (lambda folder: config(folder, architectures=None), "causal"),
    "pickles": (pickled, "pickled"),
    "no weights": (config, "not there"),
    "broken weights": (broken, "broken"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_cannot_be_trained_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    prepare, word = BAD[name]
    prepare(tmp_path)
    with pytest.raises(Invalid) as caught:
        base_weights.shapes(tmp_path)
    assert caught.value.details == {"field": "base_model", "reason": "base_unusable"}
    assert word in caught.value.say("en")


def test_a_cut_gguf_is_told_as_one(chat_models: Path, tmp_path: Path) -> None:
    source = next((chat_models / "smollm2-135m-instruct").glob("*.gguf"))
    with source.open("rb") as whole:
        (tmp_path / "cut.gguf").write_bytes(whole.read(50_000))
    with pytest.raises(Unavailable) as caught:
        base_weights.shapes(tmp_path)
    assert caught.value.details["reason"] == "model_broken"
