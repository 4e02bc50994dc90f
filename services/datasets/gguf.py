"""The tokenizer in a GGUF file, read from its header; the weights behind it are not touched.

Source: ggml's specification of GGUF, version 3: typed keys and values in little-endian order before the tensors.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from services.errors import Unavailable

MAGIC = b"GGUF"
NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
STRING, ARRAY = 8, 9
CONTROL = 3
MOST_BYTES = 64 * 2**20
# How texts are parted before bytes are paired, by the name that the file gives to it.
# Source: the tokenizers' own configurations, as llama.cpp names them.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"llama-bpe": WORDS.replace("{DIGITS}", "{1,3}"), "qwen2": WORDS.replace("{DIGITS}", "")}
SINGLE_DIGITS = {"smollm", "starcoder", "refact", "command-r"}


def tokenizer(path: Path) -> dict[str, Any]:
    """The tokenizer, chat template and marks of the model in the file at *path*.

    Raises Unavailable for a kind of tokenizer that is no byte-pair encoding.
    """
    facts = read_header(path)
    if facts.get("tokenizer.ggml.model") != "gpt2":
        raise Unavailable(
            "The tokenizer in this model's GGUF file cannot be read here; name a model in safetensors.",
            "无法读取该 GGUF 模型的分词器，请使用 safetensors 格式的模型。",
            details={"reason": "no_tokenizer"},
        )
    words: list[str] = facts["tokenizer.ggml.tokens"]

    def mark(name: str) -> str:
        number = facts.get(f"tokenizer.ggml.{name}_token_id")
        return words[number] if isinstance(number, int) and number < len(words) else ""

    return {
        "tokenizer": _byte_pairs(facts, words),
        "chat_template": facts.get("tokenizer.chat_template"),
        "bos_token": mark("bos"),
        "eos_token": mark("eos"),
    }


def _byte_pairs(facts: dict[str, Any], words: list[str]) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    built = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    name = facts.get("tokenizer.ggml.pre", "")
    steps: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if name in PATTERNS:
        split = pre_tokenizers.Split(Regex(PATTERNS[name]), behavior="isolated")
        steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    elif name in SINGLE_DIGITS:
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    built.pre_tokenizer = pre_tokenizers.Sequence(steps)
    kinds = facts.get("tokenizer.ggml.token_type", [])
    marks = [word for word, kind in zip(words, kinds, strict=False) if kind == CONTROL]
    built.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in marks])
    return built


def read_header(path: Path) -> dict[str, Any]:
    """The keys and values of the file at *path*. Raises Unavailable for a file that is none or is cut short."""
    return _read(path, tensors=False)[0]


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of the file at *path* by name, rows before columns. Raises what `read_header` raises."""
    return _read(path, tensors=True)[1]


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    try:
        with path.open("rb") as file:
            magic, _version, total, count = struct.unpack("<4sIQQ", file.read(24))
            if magic != MAGIC:
                raise ValueError("no GGUF")
            found = {}
            for _ in range(count):
                key = _string(file)
                found[key] = _value(file, _number(file, 4))
            return found, dict(_tensor(file) for _ in range(total if tensors else 0))
    except (struct.error, ValueError, KeyError) as error:
        raise Unavailable(
            "The model's GGUF file is broken; pull it again.",
            "模型的 GGUF 文件已损坏，请重新下载。",
            details={"reason": "model_broken"},
        ) from error


def _tensor(file: IO[bytes]) -> tuple[str, tuple[int, ...]]:
    name = _string(file)
    sides = tuple(_number(file, 10) for _ in range(_number(file, 4)))
    file.read(12)  # Its type and where it begins.
    return name, sides[::-1]


def _value(file: IO[bytes], kind: int) -> Any:
    if kind == STRING:
        return _string(file)
    if kind != ARRAY:
        return _number(file, kind)
    inner, count = _number(file, 4), _number(file, 10)
    if count > MOST_BYTES:
        raise ValueError("a header of this size is none")
    read: Callable[[], Any] = (lambda: _string(file)) if inner == STRING else (lambda: _value(file, inner))
    return [read() for _ in range(count)]


def _string(file: IO[bytes]) -> str:
    size = _number(file, 10)
    if size > MOST_BYTES:
        raise ValueError("a text of this size is none")
    return file.read(size).decode("utf-8", "replace")


def _number(file: IO[bytes], kind: int) -> Any:
    form = NUMBERS[kind]
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
