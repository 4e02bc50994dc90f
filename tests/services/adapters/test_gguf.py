"""What peft trained says the same on llama.cpp, token by token, on weights that both read alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.adapters.gguf import write_gguf_adapter
from services.contracts.chat import ChatRequest
from services.contracts.models import CatalogRow
from services.datasets.tokens import Tokens
from services.engines.llama_cpp_adapters import LlamaCppAdapters
from services.errors import Unavailable
from services.settings import Settings
from tests.text_adapters import SHORT

PROMPTS = ["Name the largest ocean.", "你好", "Write a poem about the sea and the wind.", "2 + 2 ="]
ROW = CatalogRow(id=SHORT, name=SHORT, abilities=["chat"], licence="own", engine="llama_cpp")


@pytest.fixture
def engine(short_gguf: Path) -> Iterator[LlamaCppAdapters]:
    """One slot, so that every chat comes upon what the one before it left there."""
    settings = Settings(_env_file=None, models_dir=short_gguf, chat_slots=1, chat_context_tokens=256, cpu_threads=1)
    loaded = LlamaCppAdapters(ROW, short_gguf / SHORT, settings)
    loaded.load()
    yield loaded
    loaded.unload()


def ask(prompt: str, tokens: int = 12) -> ChatRequest:
    messages = [{"role": "user", "content": prompt}]
    return ChatRequest.model_validate({"messages": messages, "temperature": 0, "max_tokens": tokens})


def said_by_peft(base: Path, adapter: Path) -> list[str]:
    """What plain transformers and peft say to each of the prompts."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tokens = Tokens(base)
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(plain, adapter)
    found = []
    for prompt in PROMPTS:
        text = str(tokens.render([{"role": "user", "content": prompt}], add_generation_prompt=True))
        ids = torch.tensor(tokens.ids([text]))
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        speak = tokens.speaker()
        found.append("".join(speak(number) for number in out[0, ids.shape[1] :].tolist()))
    return found


def test_llama_cpp_says_what_peft_says(
    engine: LlamaCppAdapters, short_base: Path, gguf_adapters: dict[str, Path]
) -> None:
    expected = {name: said_by_peft(short_base, gguf_adapters[name]) for name in ("one", "two")}
    assert expected["one"] != expected["two"]
    # Prompt by prompt, so that the only slot changes its adapter each time.
    for at, prompt in enumerate(PROMPTS):
        for name, texts in expected.items():
            assert engine.adapted(name, gguf_adapters[name]).reply(ask(prompt)).text == texts[at]


def test_no_adapter_answers_with_what_another_read(engine: LlamaCppAdapters, gguf_adapters: dict[str, Path]) -> None:
    one, two = (engine.adapted(name, gguf_adapters[name]) for name in ("one", "two"))
    one, alone = engine.adapted("one", gguf_adapters["one"]), two.reply(ask(PROMPTS[0])).text
    for model, prompt in ((two, PROMPTS[2]), (one, PROMPTS[0]), (two, PROMPTS[2])):
        model.reply(ask(prompt))
    assert two.reply(ask(PROMPTS[0])).text == alone


def test_a_new_adapter_joins_while_a_chat_runs_to_its_end(
    engine: LlamaCppAdapters, gguf_adapters: dict[str, Path]
) -> None:
    old = engine.adapted("one", gguf_adapters["one"])
    whole = old.reply(ask(PROMPTS[2], 100)).text
    running = old.stream(ask(PROMPTS[2], 100))
    begun = next(batch for batch in running if batch)
    assert engine.adapted("three", gguf_adapters["three"]).reply(ask(PROMPTS[0])).text
    assert "".join(delta.text for batch in [begun, *running] for delta in batch) == whole
    assert engine.adapted("one", gguf_adapters["one"]).reply(ask(PROMPTS[2], 100)).text == whole


def test_a_broken_adapter_is_told_and_the_others_answer_on(
    engine: LlamaCppAdapters, gguf_adapters: dict[str, Path], tmp_path: Path
) -> None:
    good = engine.adapted("one", gguf_adapters["one"]).reply(ask(PROMPTS[0])).text
    (tmp_path / "adapter.gguf").write_bytes(b"GGUF no more")
    with pytest.raises(Unavailable, match="train it again"):
        engine.adapted("broken", tmp_path)
    assert engine.adapted("one", gguf_adapters["one"]).reply(ask(PROMPTS[0])).text == good


@pytest.mark.parametrize(
    ("config", "adapter"),
    [
        ({"model_type": "gpt2"}, {}),
        ({}, {"use_dora": True}),
        ({}, {"use_rslora": True}),
        ({}, {"peft_type": "LOHA"}),
        ({}, {"bias": "all"}),
        ({}, {"modules_to_save": ["lm_head"]}),
        ({}, {"rank_pattern": {"q_proj": 4}}),
    ],
    ids=["another family", "dora", "rslora", "another kind", "biases", "whole modules", "ranks that differ"],
)
def test_what_llama_cpp_does_not_compute_is_refused(
    gguf_adapters: dict[str, Path], short_base: Path, tmp_path: Path, config: dict[str, Any], adapter: dict[str, Any]
) -> None:
    base = orjson.loads((short_base / "config.json").read_bytes())
    told = orjson.loads((gguf_adapters["one"] / "adapter_config.json").read_bytes())
    (tmp_path / "config.json").write_bytes(orjson.dumps(base | config))
    (tmp_path / "adapter_config.json").write_bytes(orjson.dumps(told | adapter))
    with pytest.raises(Unavailable) as error:
        write_gguf_adapter(tmp_path, tmp_path, tmp_path / "adapter.gguf")
    assert error.value.details["reason"] == "adapter_not_convertible"
    assert not (tmp_path / "adapter.gguf").exists()
