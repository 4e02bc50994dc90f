"""The demo says what it is, and counts words as tokens."""

import pytest

from services.contracts.chat import ChatModel, ChatRequest
from services.contracts.models import ChatFlags
from services.outbound import Outbound
from services.providers import find_provider


@pytest.fixture
def demo(outbound: Outbound) -> ChatModel:
    kind = find_provider("demo")
    assert kind
    return kind(outbound).chat("demo", ChatFlags())


def test_it_says_what_it_is_and_what_it_heard(demo: ChatModel) -> None:
    reply = demo.reply(ChatRequest(messages=[{"role": "user", "content": "你好  world"}]))
    assert "demo" in reply.text
    assert "你好  world" in reply.text
    assert reply.finish_reason == "stop"
    assert reply.id


def test_it_streams_word_by_word(demo: ChatModel) -> None:
    batches = list(demo.stream(ChatRequest(messages=[{"role": "user", "content": "one two"}])))
    assert all(len(delta.text.split()) == 1 for batch in batches[:-1] for delta in batch)
    usage = batches[-1][-1].usage
    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (2, len(batches) - 1)


def test_it_stops_at_the_wanted_length(demo: ChatModel) -> None:
    reply = demo.reply(ChatRequest(messages=[{"role": "user", "content": "one two"}], max_tokens=3))
    assert (len(reply.text.split()), reply.finish_reason) == (3, "length")
    assert reply.usage.completion_tokens == 3
