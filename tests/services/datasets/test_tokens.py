"""Tokens are counted and conversations worded as the model itself does it."""

import json
from pathlib import Path

import pytest

from services.datasets import gguf
from services.datasets.faults import Fault
from services.datasets.tokens import Tokens
from services.errors import Unavailable

TURNS = [{"role": "user", "content": "Hi 123"}, {"role": "assistant", "content": "你好"}]


@pytest.fixture(scope="module")
def starter(chat_models: Path) -> Tokens:
    return Tokens(chat_models / "smollm2-135m-instruct")


def test_a_gguf_words_and_counts(starter: Tokens) -> None:
    text = starter.render(TURNS)
    assert isinstance(text, str)
    assert text.endswith("<|im_start|>user\nHi 123<|im_end|>\n<|im_start|>assistant\n你好<|im_end|>\n")
    assert starter.count(["Hello world", "123", "<|im_end|>", ""]) == [2, 3, 1, 0]


def test_counts_are_those_of_the_engine(starter: Tokens, chat_models: Path) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next((chat_models / "smollm2-135m-instruct").glob("*.gguf")))
    params.n_ctx, params.warmup, params.ui, params.verbosity = 512, False, False, 1
    server = xllamacpp.Server(params)
    text = "The capital of France is Paris, founded in 250 BC.\n\n  def f(x): return x**2  # 你好，世界 🐈"
    told = server.handle_completions({"prompt": text, "n_predict": 1})
    assert starter.count([text]) == [told["usage"]["prompt_tokens"]]


def folder_of(path: Path, **config: object) -> Path:
    """A tokenizer of words in the form of transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def test_a_folder_of_transformers_words_and_counts(tmp_path: Path) -> None:
    template = "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }};{% endfor %}"
    tokens = Tokens(folder_of(tmp_path, chat_template=template, bos_token={"content": "<s>"}))
    assert tokens.render(TURNS) == "<s>user: Hi 123;assistant: 你好;"
    assert tokens.count(["a b c", ""]) == [3, 0]


def test_a_template_that_refuses_makes_a_bad_row(tmp_path: Path) -> None:
    tokens = Tokens(folder_of(tmp_path, chat_template="{{ raise_exception('no such role') }}"))
    found = tokens.render(TURNS)
    assert isinstance(found, Fault) and "no such role" in found.en


def test_a_template_reaches_nothing_of_python(tmp_path: Path) -> None:
    tokens = Tokens(folder_of(tmp_path, chat_template="{{ messages.__class__.__mro__ }}"))
    assert isinstance(tokens.render(TURNS), Fault)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Tokens(tmp_path)
    with pytest.raises(Unavailable) as caught:
        Tokens(folder_of(tmp_path)).render(TURNS)
    assert caught.value.details["reason"] == "no_chat_template"


@pytest.mark.parametrize("data", [b"", b"GGUF", b"PK\x03\x04" + bytes(100), b"GGUF\3\0\0\0" + b"\xff" * 40])
def test_a_broken_gguf_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(data)
    with pytest.raises(Unavailable):
        gguf.tokenizer(tmp_path / "x.gguf")
