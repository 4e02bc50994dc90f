"""The official `anthropic` SDK talks to AnthropicFake."""

import anthropic
import httpx2
import pytest
import requests
from anthropic import Anthropic

from tests.fakes import samples
from tests.fakes.anthropic import AnthropicFake

pytest_plugins = ["tests.fakes.fixtures"]

ASK = [{"role": "user", "content": "hi"}]
LIMIT = {"max_tokens": 64, "messages": ASK}
TOOLS = [
    {"name": name, "description": "d", "input_schema": {"type": "object", "properties": {}}} for name in ("f", "g")
]


@pytest.fixture
def client(anthropic_fake: AnthropicFake) -> Anthropic:
    return Anthropic(api_key=anthropic_fake.key, base_url=anthropic_fake.base_url, max_retries=0, timeout=10)


def streamed_text(client: Anthropic, model: str) -> str:
    with client.messages.stream(model=model, **LIMIT) as stream:
        return "".join(stream.text_stream)


def event_types(client: Anthropic, model: str) -> list[str]:
    return [event.type for event in client.messages.create(model=model, stream=True, **LIMIT)]


def test_whole_message(client, anthropic_fake):
    message = client.messages.create(model="claude-x", system="be brief", **LIMIT)
    assert message.content[0].text == samples.TEXT
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 12, 6)
    assert message._request_id == "req_1"
    sent = anthropic_fake.requests[-1]
    assert sent.path == "/v1/messages" and sent.headers["anthropic-version"]
    assert sent.json == {"model": "claude-x", "system": "be brief", **LIMIT}


@pytest.mark.parametrize(
    "behaviour",
    ["plain", "crlf", "comments", "bytes", "close-delimited", "no-content-type", "pings", "no-name", "new-event"],
)
def test_every_harmless_framing_reads_the_same(client, behaviour):
    assert streamed_text(client, f"claude-x@{behaviour}") == samples.TEXT


def test_events_and_usage(client):
    types = event_types(client, "claude-x")
    deltas = ["content_block_delta"] * len(samples.PIECES)
    assert types == [
        "message_start",
        "content_block_start",
        *deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    with client.messages.stream(model="cached", **LIMIT) as stream:
        usage = stream.get_final_message().usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (12, 400, 15)


def test_new_event_and_missing_end(client):
    assert "future_event" in event_types(client, "new-event")
    assert "message_stop" not in event_types(client, "no-end")
    assert event_types(client, "no-finish")[-1] == "content_block_delta"


def test_reasoning(client):
    with client.messages.stream(model="reasoning", **LIMIT) as stream:
        thinking, text = stream.get_final_message().content
    assert (thinking.thinking, text.text) == (samples.REASONING, samples.TEXT) and thinking.signature
    whole = client.messages.create(model="claude-x", thinking={"type": "adaptive"}, **LIMIT)
    assert whole.content[0].thinking == samples.REASONING


@pytest.mark.parametrize(("model", "names"), [("claude-x", ["f"]), ("parallel-tools", ["f", "g"])])
def test_tools(client, model, names):
    whole = client.messages.create(model=model, tools=TOOLS, **LIMIT)
    with client.messages.stream(model=model, tools=TOOLS, **LIMIT) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert message.stop_reason == "tool_use"
        assert [block.name for block in message.content[1:]] == names
        assert message.content[1].input == {"city": "杭州"}


def test_tool_results(client):
    call = client.messages.create(model="m", tools=TOOLS, **LIMIT)
    turn = {"role": "assistant", "content": call.content}
    result = {"type": "tool_result", "tool_use_id": call.content[1].id, "content": "sunny"}
    answered = [*ASK, turn, {"role": "user", "content": [result]}]
    assert client.messages.create(model="m", tools=TOOLS, max_tokens=9, messages=answered).stop_reason == "end_turn"
    unanswered = [*ASK, turn, {"role": "user", "content": "well?"}]
    with pytest.raises(anthropic.BadRequestError, match="tool_result"):
        client.messages.create(model="m", tools=TOOLS, max_tokens=9, messages=unanswered)


@pytest.mark.parametrize(
    ("model", "error", "status", "kind"),
    [
        ("missing", anthropic.NotFoundError, 404, "not_found_error"),
        ("error-403", anthropic.PermissionDeniedError, 403, "permission_error"),
        ("quota", anthropic.APIStatusError, 402, "billing_error"),
        ("limited-7", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("error-500", anthropic.InternalServerError, 500, "api_error"),
        ("overloaded", anthropic.InternalServerError, 529, "overloaded_error"),
        ("html-502", anthropic.InternalServerError, 502, None),
    ],
)
def test_errors(client, model, error, status, kind):
    for stream in (False, True):
        with pytest.raises(error) as caught:
            client.messages.create(model=model, stream=stream, **LIMIT)
        assert (caught.value.status_code, caught.value.type) == (status, kind)


def test_wrong_key(client):
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="sk-bad").messages.create(model="m", **LIMIT)


def test_retries(client, anthropic_fake):
    client.with_options(max_retries=2).messages.create(model="flaky-529-2", **LIMIT)
    assert len(anthropic_fake.requests) == 3


def test_error_event_under_200(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        event_types(client, "mid-error")
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")


@pytest.mark.parametrize("model", ["cut", "reset"])
def test_broken_connection(client, model):
    seen = []
    with pytest.raises(httpx2.TransportError):
        for event in client.messages.create(model=model, stream=True, **LIMIT):
            seen.append(event.type)
    assert seen == ["message_start", "content_block_start", "content_block_delta"]


def test_silent_stream_sees_the_client_leave(client, anthropic_fake):
    stream = client.messages.create(model="silent", stream=True, **LIMIT)
    for event in stream:
        if event.type == "content_block_delta":
            break
    assert not anthropic_fake.requests[-1].client_left.is_set()
    stream.close()
    assert anthropic_fake.requests[-1].client_left.wait(5)


def test_image_blocks_arrive(client, anthropic_fake):
    source = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "x"}]
    client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": blocks}])
    assert anthropic_fake.requests[-1].json["messages"][0]["content"] == blocks


def test_count_tokens_and_models(client):
    assert client.messages.count_tokens(model="m", messages=ASK).input_tokens == 14
    assert "claude-opus-5-5" in [model.id for model in client.models.list()]


BODY = {"model": "m", **LIMIT}
CLASSIC = {"x-api-key": "sk-ant-good", "anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"temperature": 0.5}, {}, 200),
        ({"temperature": 0.5}, {"anthropic-version": "2026-10-21"}, 400),
        ({"temperature": 1.5}, {}, 400),
        ({"temperature": 0.5, "model": "no-sampling"}, {}, 400),
        ({}, {"anthropic-version": None}, 400),
        ({}, {"x-api-key": None, "authorization": "Bearer sk-ant-good"}, 200),
        ({}, {"x-api-key": "sk-bad", "authorization": "Bearer sk-ant-good"}, 401),
        ({"max_tokens": None}, {}, 400),
        ({"stop_sequences": [" "]}, {}, 400),
        ({"messages": [{"role": "system", "content": "x"}, *ASK]}, {}, 400),
        ({"messages": [{"role": "assistant", "content": "x"}, *ASK]}, {}, 400),
        ({"messages": [{"role": "user", "content": ""}]}, {}, 400),
    ],
)
def test_rules_for_plain_clients(anthropic_fake, change, headers, status):
    answer = requests.post(
        anthropic_fake.url("/v1/messages"), json={**BODY, **change}, headers={**CLASSIC, **headers}, timeout=10
    )
    assert answer.status_code == status
