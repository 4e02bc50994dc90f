"""A tokenizer of transformers in GGUF's words; byte-pair encodings of bytes alone, whose rules llama.cpp knows by name.

Source: ggml's specification of GGUF: `tokenizer.ggml.*`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from services.datasets.gguf import CONTROL, PATTERNS
from services.errors import Conflict

NORMAL, USER_DEFINED, UNUSED = 1, 4, 5
MARKS = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


@dataclass(frozen=True, slots=True)
class Words:
    """What a GGUF file says of a tokenizer."""

    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    marks: dict[str, int] = field(default_factory=dict)


def read(folder: Path) -> Words:
    """The tokenizer in *folder*. Raises Conflict for one that llama.cpp would not read alike."""
    told = _read(folder / "tokenizer.json")
    names = _read(folder / "tokenizer_config.json")
    model = told.get("model") or {}
    pre = _rules(told.get("pre_tokenizer") or {})
    # llama.cpp does not load an encoding that pairs nothing.
    if model.get("type") != "BPE" or pre is None or told.get("normalizer") or not model.get("merges"):
        raise Conflict(
            "This model cannot be written as GGUF: its tokenizer is of a kind that is not converted here. Merge it as "
            "safetensors, or train on the model's GGUF.",
            "该模型无法写成 GGUF：不支持转换其分词器。请合并为 safetensors，或以其 GGUF 版本作为基础模型训练。",
            details={"field": "format", "reason": "gguf_not_possible"},
        )
    numbers = dict(model["vocab"])
    added = {one["content"]: bool(one["special"]) for one in told.get("added_tokens", [])}
    numbers |= {one["content"]: one["id"] for one in told.get("added_tokens", [])}
    tokens, kinds = _listed(numbers, added)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    marks = {word: _text(names.get(name)) for name, word in MARKS.items()}
    return Words(pre, tokens, kinds, merges, {word: numbers[text] for word, text in marks.items() if text in numbers})


def write(writer: Any, words: Words) -> None:
    """Tell *writer*, of the package `gguf`, of *words*."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.kinds)
    writer.add_token_merges(words.merges)
    for word, number in words.marks.items():
        writer.add_uint32(f"tokenizer.ggml.{word}_token_id", number)
    # Prompts are worded by their template, which writes whatever stands at the beginning.
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)


def _rules(told: dict[str, Any]) -> str | None:
    """llama.cpp's name of the rules by which texts are parted; None for others than it knows."""
    steps = told.get("pretokenizers") if told.get("type") == "Sequence" else [told]
    steps = steps or []
    if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return None
    if len(steps) == 1:
        return "gpt-2"
    first = steps[0]
    if first.get("type") == "Digits" and first.get("individual_digits"):
        return "smollm"
    pattern = (first.get("pattern") or {}).get("Regex")
    return next((name for name, known in PATTERNS.items() if known == pattern), None)


def _listed(numbers: dict[str, int], added: dict[str, bool]) -> tuple[list[str], list[int]]:
    words = {number: word for word, number in numbers.items()}
    tokens, kinds = [], []
    for number in range(max(words) + 1):
        word = words.get(number)
        tokens.append(f"[PAD{number}]" if word is None else word)
        kinds.append(UNUSED if word is None else _kind(word, added))
    return tokens, kinds


def _kind(word: str, added: dict[str, bool]) -> int:
    if word not in added:
        return NORMAL
    return CONTROL if added[word] else USER_DEFINED


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else token or ""


def _read(path: Path) -> dict[str, Any]:
    try:
        told = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return told if isinstance(told, dict) else {}
