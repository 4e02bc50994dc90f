"""Chat through Anthropic's package: whole, streamed event by event, with tools, pictures and errors."""

import asyncio
from typing import Any

import anthropic
import pytest
import requests

from tests.fakes import samples
from tests.fakes.vendor import VendorFake
from tests.openai.conftest import Target, async_claude

MESSAGES = "POST /v1/messages"
COUNT = "POST /v1/messages/count_tokens"
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]
TOOLS: list[Any] = [
    {
        "name": "weather",
        "description": "The weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMB"
    "AQDJ/pLvAAAAAElFTkSuQmCC"
)  # fmt: skip


def ask(client: anthropic.Anthropic, model: str, **more: Any) -> anthropic.types.Message:
    message = client.messages.create(**{"model": model, "max_tokens": 8, "messages": HELLO, **more})
    assert isinstance(message, anthropic.types.Message)
    return message


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.proves(MESSAGES, "whole, with a system prompt, usage and a request id")
def test_whole(claude: anthropic.Anthropic, chat_model: str) -> None:
    message = ask(claude, chat_model, system="Be brief.")
    assert (message.type, message.role, message.model) == ("message", "assistant", chat_model)
    assert message.id.startswith("msg") and text_of(message)
    assert message.stop_reason in {"end_turn", "max_tokens"} and message.stop_sequence is None
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 0
    assert 0 < message.usage.output_tokens <= 8
    assert message._request_id


@pytest.mark.proves(MESSAGES, "streamed: Anthropic's events in their order")
def test_events(claude: anthropic.Anthropic, chat_model: str) -> None:
    stream = claude.messages.create(model=chat_model, max_tokens=8, messages=HELLO, stream=True)
    events = [event for event in stream if event.type != "ping"]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert events[-2].delta.stop_reason in {"end_turn", "max_tokens"}
    assert 0 < events[-2].usage.output_tokens <= 8 and events[-2].usage.input_tokens is not None


def test_events_on_the_wire(target: Target) -> None:
    """The package drops events without a name, and an OpenAI mark at the end would break others."""
    answer = requests.post(
        f"{target.url}/v1/messages",
        json={"model": "demo", "max_tokens": 2, "messages": HELLO, "stream": True},
        headers={"x-api-key": target.key},
        timeout=60,
    )
    frames = answer.text.strip().split("\n\n")
    assert all(frame.startswith("event: ") and "\ndata: {" in frame for frame in frames)
    assert frames[-1].startswith("event: message_stop\n") and "[DONE]" not in answer.text
    assert answer.headers["Content-Type"].startswith("text/event-stream") and answer.headers["request-id"]


@pytest.mark.proves(MESSAGES, "the package's own helper gathers the stream")
def test_helper(claude: anthropic.Anthropic, chat_model: str) -> None:
    with claude.messages.stream(model=chat_model, max_tokens=8, messages=HELLO) as stream:
        pieces = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert pieces and text_of(final) == pieces
    assert final.usage.output_tokens > 0


@pytest.mark.proves(MESSAGES, "asynchronous, whole and streamed")
def test_async(target: Target, chat_model: str) -> None:
    async def talk() -> tuple[str, str]:
        async with async_claude(target) as client:
            whole = await client.messages.create(model=chat_model, max_tokens=4, messages=HELLO)
            async with client.messages.stream(model=chat_model, max_tokens=4, messages=HELLO) as stream:
                pieces = [piece async for piece in stream.text_stream]
        return text_of(whole), "".join(pieces)

    whole, pieces = asyncio.run(talk())
    assert whole and pieces


@pytest.mark.proves(MESSAGES, "tools and their results")
def test_tools(claude: anthropic.Anthropic, upstream: VendorFake) -> None:
    first = ask(claude, "openai/gpt-4o", tools=TOOLS, tool_choice={"type": "any"})
    (call,) = first.content
    assert first.stop_reason == "tool_use" and call.type == "tool_use"
    assert (call.name, call.input) == ("weather", {"city": "杭州"})
    assert upstream.requests[-1].json["tool_choice"] == "required"
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    turns = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ask(claude, "openai/gpt-4o", tools=TOOLS, messages=turns)
    assert text_of(second) == samples.TEXT
    sent = upstream.requests[-1].json["messages"]
    assert sent[-2]["tool_calls"][0]["id"] == sent[-1]["tool_call_id"] == call.id
    assert sent[-1]["role"] == "tool" and sent[-1]["content"] == "sunny"


@pytest.mark.proves(MESSAGES, "tool calls streamed, two in one answer")
def test_streamed_tools(claude: anthropic.Anthropic, upstream: VendorFake) -> None:
    with claude.messages.stream(
        model="openai/gpt-4o@parallel-tools", max_tokens=99, messages=HELLO, tools=TOOLS
    ) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["tool_use", "tool_use"]
    assert [block.input for block in final.content if block.type == "tool_use"] == [
        {"city": "杭州"},
        {"city": "Berlin", "days": 2},
    ]
    assert final.stop_reason == "tool_use"


@pytest.mark.proves(MESSAGES, "image blocks reach the model")
def test_images(claude: anthropic.Anthropic, upstream: VendorFake) -> None:
    content: list[Any] = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "text", "text": "What is it?"},
    ]
    message = ask(claude, "openai/gpt-4o", messages=[{"role": "user", "content": content}])
    assert text_of(message) == samples.TEXT
    parts = upstream.requests[-1].json["messages"][-1]["content"]
    assert parts[0]["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"


@pytest.mark.proves(MESSAGES, "thoughts are blocks before the text, whole and streamed")
def test_thinking(claude: anthropic.Anthropic, upstream: VendorFake) -> None:
    whole = ask(claude, "openai/gpt-4o@reasoning")
    with claude.messages.stream(model="openai/gpt-4o@reasoning", max_tokens=9, messages=HELLO) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.content[0].type == "thinking" and message.content[0].thinking == samples.REASONING


@pytest.mark.proves(MESSAGES, "`stop_sequences`, and turns of several blocks")
def test_stop_sequences(claude: anthropic.Anthropic, chat_model: str) -> None:
    turns = [{"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": "hello."}]}]
    message = ask(claude, chat_model, messages=turns, stop_sequences=["e"], max_tokens=40)
    assert "e" not in text_of(message)


@pytest.mark.proves(COUNT, "counts what the answer then says")
def test_count_tokens(claude: anthropic.Anthropic, chat_model: str) -> None:
    counted = claude.messages.count_tokens(model=chat_model, system="Be brief.", messages=HELLO)
    usage = ask(claude, chat_model, system="Be brief.").usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


@pytest.mark.proves(COUNT, "a provider that does not count: an estimate that says so")
def test_estimated_count(claude: anthropic.Anthropic) -> None:
    counted = claude.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "word " * 100}])
    assert 80 < counted.input_tokens < 200
    assert getattr(counted, "estimated", None) is True


@pytest.mark.proves(MESSAGES, "`AuthenticationError` in Anthropic's own body; the key comes either way")
def test_a_wrong_key(target: Target) -> None:
    client = anthropic.Anthropic(base_url=target.url, api_key="sk-" + "x" * 43, max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as raised:
        ask(client, "demo")
    body: Any = raised.value.body
    assert body["type"] == "error" and body["error"]["type"] == "authentication_error"
    assert raised.value.request_id == body["request_id"]


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_either_header_carries_the_key(target: Target, header: str) -> None:
    sent = {header: target.key if header == "x-api-key" else f"Bearer {target.key}"}
    body = {"model": "demo", "max_tokens": 1, "messages": HELLO}
    assert requests.post(f"{target.url}/v1/messages", json=body, headers=sent, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("sent", "kind", "told"),
    [
        ({"model": "nobody-has-this"}, anthropic.NotFoundError, "not_found_error"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, anthropic.BadRequestError, "invalid_request_error"),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
            anthropic.BadRequestError,
            "invalid_request_error",
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web"}]},
            anthropic.BadRequestError,
            "invalid_request_error",
        ),
    ],
    ids=["model", "max_tokens", "messages", "nul", "document", "server-tool"],
)
@pytest.mark.proves(MESSAGES, "`BadRequestError` and `NotFoundError` with Anthropic's types")
def test_errors(claude: anthropic.Anthropic, sent: dict[str, Any], kind: Any, told: str) -> None:
    with pytest.raises(kind) as raised:
        ask(claude, **{"model": "demo", **sent})
    assert raised.value.type == told
    assert raised.value.request_id


@pytest.mark.proves(MESSAGES, "an error in the middle of a stream is raised")
def test_an_error_in_the_stream(claude: anthropic.Anthropic, upstream: VendorFake) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        list(claude.messages.create(model="openai/gpt-4o@mid-error", max_tokens=9, messages=HELLO, stream=True))
    assert raised.value.type == "api_error"


@pytest.mark.proves("GET /v1/models", "Anthropic's package lists and shows models too")
def test_models(claude: anthropic.Anthropic) -> None:
    listed = list(claude.models.list())
    assert "demo" in {model.id for model in listed}
    demo = claude.models.retrieve("demo")
    assert (demo.type, demo.display_name) == ("model", "Demo") and demo.created_at
