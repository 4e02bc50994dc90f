"""The starter chat model on llama.cpp: real weights, real answers."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.catalog import Catalog
from services.contracts.chat import ChatRequest, join_deltas
from services.engines import llama_cpp
from services.engines.base import rows_under
from services.engines.llama_cpp import LlamaCpp
from services.errors import Invalid
from services.settings import Settings

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def engine(chat_models: Path) -> Iterator[LlamaCpp]:
    settings = Settings(_env_file=None, models_dir=chat_models, chat_slots=4, chat_context_tokens=1024)
    row = Catalog(settings).find(MODEL)
    loaded = LlamaCpp(row, chat_models / MODEL, settings)
    loaded.load()
    yield loaded
    loaded.unload()


def ask(text: str, **changes: object) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": text}], "temperature": 0, **changes})


def test_it_knows_the_largest_ocean(engine: LlamaCpp) -> None:
    reply = engine.reply(ask("Name the largest ocean on Earth.", max_tokens=30))
    assert "Pacific" in reply.text
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 10


def test_an_answer_that_is_over_ends_with_stop(engine: LlamaCpp) -> None:
    assert engine.reply(ask("What is 2+2?", max_tokens=60)).finish_reason == "stop"


def test_max_tokens_ends_with_length(engine: LlamaCpp) -> None:
    reply = engine.reply(ask("Tell me a story.", max_tokens=5))
    assert reply.finish_reason == "length"
    assert reply.usage.completion_tokens == 5


def test_stop_words_end_the_answer(engine: LlamaCpp) -> None:
    reply = engine.reply(ask("Count: one two three four five six", stop=["three"], max_tokens=50))
    assert "three" not in reply.text


def test_many_at_once_answer_as_one_alone(engine: LlamaCpp) -> None:
    alone = engine.reply(ask("Name the largest ocean on Earth.", max_tokens=12)).text
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(engine.reply(ask("Name the largest ocean on Earth.", max_tokens=12)).text)
        )
        for _ in range(4)
    ]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert len(answers) == 4
    assert all("Pacific" in answer for answer in [alone, *answers])


def test_closing_the_stream_frees_its_slot(engine: LlamaCpp) -> None:
    for _ in range(8):
        stream = engine.stream(ask("Tell me a very long story.", max_tokens=900))
        next(batch for batch in stream if batch)
        stream.close()  # type: ignore[attr-defined]
    assert join_deltas(engine.stream(ask("Hi", max_tokens=3)), model=MODEL).usage.completion_tokens == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "user", "content": "word " * 3000}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}
            ]
        },
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": "Hi"}], "response_format": {"type": "poem"}},
        {"messages": [{"role": "user", "content": "Hi"}], "tool_choice": "some"},
        {"messages": [{"role": "user", "content": "Hi"}], "seed": 2**64},
    ],
    ids=[
        "longer than the context",
        "an image for a model without eyes",
        "a message without content",
        "an answer in a form that nobody knows",
        "a choice of tools that nobody knows",
        "a number of more than 64 bits",
    ],
)
def test_what_it_cannot_read_is_the_callers_error(engine: LlamaCpp, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid) as error:
        engine.reply(ChatRequest.model_validate(wrong))
    assert error.value.details["field"] == "messages"


def test_a_gguf_file_in_a_folder_is_a_chat_model(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine-q4.gguf").write_bytes(b"GGUF")
    (tmp_path / "empty").mkdir()
    (row,) = rows_under(tmp_path)
    assert (row.id, row.engine, row.abilities) == ("mine", "llama_cpp", ["chat", "training"])


def test_a_chat_that_was_given_up_is_waited_for(chat_models: Path) -> None:
    """Its thread is inside llama.cpp until that asks again; the server must not go before."""
    settings = Settings(_env_file=None, models_dir=chat_models, chat_slots=1, chat_context_tokens=512)
    loaded = LlamaCpp(Catalog(settings).find(MODEL), chat_models / MODEL, settings)
    loaded.load()
    for _ in range(3):
        stream = loaded.stream(ask("Count to a thousand.", max_tokens=400))
        next(stream)
        stream.close()
    loaded.unload()
    assert not loaded._working


def test_the_first_piece_goes_at_once_and_those_that_come_soon_after_go_together() -> None:
    arrived: queue.SimpleQueue[object] = queue.SimpleQueue()

    class Ended(threading.Event):
        """Lets two more pieces come while the reader waits for them."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            if timeout > 0:
                for told in (piece("two"), piece("three"), None):
                    arrived.put(told)
            return True

    def piece(text: str) -> dict[str, object]:
        return {"id": "chat-1", "choices": [{"delta": {"content": text}}]}

    reading = llama_cpp._read(arrived, Ended())
    arrived.put(piece("first"))
    assert [delta.text for delta in next(reading)] == ["first"]
    arrived.put(piece("one"))
    assert [[delta.text for delta in batch] for batch in reading] == [["one", "two", "three"]]
