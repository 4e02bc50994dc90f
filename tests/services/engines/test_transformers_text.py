"""Language models on transformers: shared batches say what each prompt alone gets, as transformers itself says it."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.contracts.chat import ChatModel, ChatRequest, join_deltas
from services.datasets.tokens import Tokens
from services.engines.base import rows_under
from services.engines.transformers_text import TransformersText
from services.errors import Invalid, Unavailable
from services.settings import Settings
from tests.language_models import row_of

PROMPTS = ["Hi", "What is the longest of all these prompts, and why?", "你好", "2 + 2"]


@pytest.fixture(scope="module")
def engine(tiny_llama: Path) -> Iterator[TransformersText]:
    settings = Settings(_env_file=None, models_dir=tiny_llama.parent, chat_slots=3, chat_context_tokens=256)
    loaded = TransformersText(row_of(tiny_llama), tiny_llama, settings)
    loaded.load()
    yield loaded
    loaded.unload()


def ask(prompt: str, **more: Any) -> ChatRequest:
    told = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 16}
    return ChatRequest.model_validate(told | more)


def side_by_side(asked: list[tuple[ChatModel, ChatRequest]]) -> list[str]:
    """The answers to all of them, asked at once."""
    texts = [""] * len(asked)

    def answer(at: int) -> None:
        model, request = asked[at]
        texts[at] = model.reply(request).text

    threads = [threading.Thread(target=answer, args=(at,)) for at in range(len(asked))]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    return texts


def said_by_transformers(folder: Path, prompt: str, adapter: Path | None = None, count: int = 16) -> str:
    """What the library says, called directly."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tokens = Tokens(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    text = str(tokens.render([{"role": "user", "content": prompt}], add_generation_prompt=True))
    ids = torch.tensor(tokens.ids([text]))
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    speak = tokens.speaker()
    return "".join(speak(number) for number in out[0, ids.shape[1] :].tolist())


def test_it_says_what_transformers_says(engine: TransformersText, tiny_llama: Path) -> None:
    for prompt in PROMPTS:
        assert engine.reply(ask(prompt)).text == said_by_transformers(tiny_llama, prompt)


def test_answers_share_batches_and_are_the_same(engine: TransformersText) -> None:
    """More of them than there are slots, of several lengths, so that they join and leave."""
    requests = [ask(prompt, max_tokens=4 + 5 * at) for at, prompt in enumerate(PROMPTS * 2)]
    alone = [engine.reply(request).text for request in requests]
    assert side_by_side([(engine, request) for request in requests]) == alone


def test_adapters_of_one_base_answer_side_by_side(
    engine: TransformersText, tiny_llama: Path, text_adapters: dict[str, Path]
) -> None:
    models = {name: engine.adapted(name, folder) for name, folder in text_adapters.items()}
    texts = side_by_side([(model, ask("Hi")) for model in (engine, *models.values(), engine)])
    expected = [said_by_transformers(tiny_llama, "Hi", folder) for folder in (None, *text_adapters.values(), None)]
    assert texts == expected
    assert len(set(texts)) == 3


def test_usage_and_the_reason_are_told(engine: TransformersText) -> None:
    reply = engine.reply(ask("Hi", max_tokens=5))
    assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 5)
    assert reply.usage.prompt_tokens == engine.count(ask("Hi")).tokens
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 5


def test_a_token_that_ends_texts_ends_this_one(engine: TransformersText, tiny_llama: Path) -> None:
    # A bias makes it certain; its number is the one of <|im_end|>.
    reply = engine.reply(ask("Hi", logit_bias={"258": 100}))
    assert (reply.text, reply.finish_reason, reply.usage.completion_tokens) == ("", "stop", 0)


def test_a_stop_word_ends_the_text_before_it(engine: TransformersText) -> None:
    whole = engine.reply(ask("Hi", max_tokens=30)).text
    stop = whole[5:8]
    reply = engine.reply(ask("Hi", max_tokens=30, stop=[stop, "never said"]))
    assert (reply.text, reply.finish_reason) == (whole[: whole.index(stop)], "stop")


def test_a_seed_gives_the_same_text_and_another_another(engine: TransformersText) -> None:
    one, same, other = (engine.reply(ask("Hi", temperature=1.5, seed=seed)).text for seed in (1, 1, 2))
    assert one == same != other


def test_the_likeliest_of_one_is_the_greedy_choice(engine: TransformersText) -> None:
    greedy = engine.reply(ask("Hi")).text
    assert engine.reply(ask("Hi", temperature=2, top_k=1)).text == greedy
    assert engine.reply(ask("Hi", temperature=2, top_k=0, top_p=1e-9)).text == greedy


def test_a_penalty_keeps_it_from_saying_things_again(engine: TransformersText) -> None:
    plain, varied = (engine.reply(ask("Hi", max_tokens=40, **more)).text for more in ({}, {"frequency_penalty": 2}))
    assert len(set(varied)) > len(set(plain))


def test_pieces_arrive_one_by_one(engine: TransformersText) -> None:
    batches = [batch for batch in engine.stream(ask("Hi", max_tokens=30)) if batch]
    assert join_deltas(iter(batches), model="x").text == engine.reply(ask("Hi", max_tokens=30)).text
    assert len(batches) > 1


def test_a_reader_that_leaves_makes_room(engine: TransformersText) -> None:
    for _ in range(8):
        stream = engine.stream(ask("Hi", max_tokens=200))
        next(batch for batch in stream if batch)
        stream.close()  # type: ignore[attr-defined]
    assert engine.reply(ask("Hi", max_tokens=3)).usage.completion_tokens <= 3


def test_a_text_goes_on_without_a_turn(engine: TransformersText) -> None:
    turns = engine._tokens.render([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    raw = ask(str(turns))
    assert join_deltas(engine.continue_text(raw), model="x").text == engine.reply(ask("Hi")).text


def test_an_answer_ends_where_the_context_ends(engine: TransformersText) -> None:
    reply = engine.reply(ask("w" * 200, max_tokens=1000))
    assert (reply.finish_reason, reply.usage.total_tokens) == ("length", 256)


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"messages": [{"role": "user", "content": "w" * 300}]}, "messages", "context_length"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}],
                    }
                ]
            },
            "messages",
            "no_vision",
        ),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "no_tools"),
        ({"response_format": {"type": "json_object"}}, "response_format", "no_response_format"),
    ],
    ids=["longer than the context", "an image", "tools", "a form of answer"],
)
def test_what_it_cannot_do_is_the_callers_error(
    engine: TransformersText, wrong: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(Invalid) as error:
        engine.reply(ask("Hi", **wrong))
    assert error.value.details == {"field": field, "reason": reason}


def test_a_broken_adapter_is_told_and_the_base_answers_on(engine: TransformersText, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(Unavailable, match="train it again"):
        engine.adapted("broken", tmp_path).reply(ask("Hi"))
    assert engine.reply(ask("Hi")).text


def test_a_folder_of_safetensors_is_a_chat_model(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "mine")
    shutil.copytree(tiny_llama, tmp_path / "both")
    (tmp_path / "both" / "both.gguf").write_bytes(b"GGUF")
    shutil.copytree(tiny_llama, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    assert {row.id: row.engine for row in rows_under(tmp_path)} == {"both": "llama_cpp", "mine": "transformers_text"}


def test_a_broken_folder_is_told(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").unlink()
    with pytest.raises(Unavailable, match="cannot be loaded"):
        TransformersText(row_of(tmp_path / "broken"), tmp_path / "broken", Settings(_env_file=None)).load()
