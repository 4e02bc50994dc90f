"""Anthropic's own ways: the system prompt apart, blocks, results first, tokens in two places."""

from collections.abc import Callable

import pytest

from services.contracts.chat import ChatModel, ChatRequest, join_deltas
from services.contracts.models import ChatFlags
from services.errors import Invalid
from services.outbound import Outbound
from services.providers import find_provider
from tests.fakes import samples
from tests.fakes.vendor import VendorFake

HELLO = ChatRequest(messages=[{"role": "user", "content": "Hi"}])
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
Make = Callable[..., ChatModel]


@pytest.fixture(params=["", "/", "/v1", "/v1/"])
def base_url(request: pytest.FixtureRequest, anthropic_fake: VendorFake) -> str:
    """The address as people write it."""
    return anthropic_fake.url(request.param)


@pytest.fixture
def chat(outbound: Outbound, anthropic_fake: VendorFake) -> Make:
    """Makes a chat model of Anthropic's by its name."""
    kind = find_provider("anthropic")
    assert kind
    provider = kind(outbound, key=anthropic_fake.key, base_url=anthropic_fake.base_url, trusted=True)

    def make(model: str, flags: ChatFlags | None = None) -> ChatModel:
        return provider.chat(model, flags or ChatFlags())

    return make


def call(number: int, arguments: str = "{}") -> dict[str, object]:
    return {"id": f"toolu_{number}", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def test_the_address_may_hold_the_version(outbound: Outbound, anthropic_fake: VendorFake, base_url: str) -> None:
    kind = find_provider("anthropic")
    assert kind
    provider = kind(outbound, key=anthropic_fake.key, base_url=base_url, trusted=True)
    assert provider.chat("plain", ChatFlags()).reply(HELLO).text == samples.TEXT


def test_the_request_is_in_its_words(chat: Make, anthropic_fake: VendorFake) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " "}]},
    ]
    chat("claude-x").reply(ChatRequest(messages=turns, temperature=1.5, stop=["END", " "], seed=3))
    sent = anthropic_fake.requests[0]
    assert sent.headers["x-api-key"] == anthropic_fake.key
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.json == {
        "model": "claude-x",
        "max_tokens": 4096,
        "system": "Be brief.\n\nBe kind.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "temperature": 1.0,
        "stop_sequences": ["END"],
    }


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}),
        ("https://example.com/a.png", {"type": "url", "url": "https://example.com/a.png"}),
    ],
)
def test_pictures_are_blocks(chat: Make, anthropic_fake: VendorFake, url: str, source: dict[str, str]) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    chat("plain").reply(ChatRequest(messages=[{"role": "user", "content": parts}]))
    blocks = anthropic_fake.requests[0].json["messages"][0]["content"]
    assert blocks == [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]


def test_results_of_tools_come_first_in_one_turn(chat: Make, anthropic_fake: VendorFake) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call(1, '{"city": "杭州"}'), call(2)]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "21"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "22"},
        {"role": "user", "content": "And?"},
    ]
    chat("plain").reply(ChatRequest(messages=turns, tools=[TOOL]))
    user, assistant, answered = anthropic_fake.requests[0].json["messages"]
    assert [turn["role"] for turn in (user, assistant, answered)] == ["user", "assistant", "user"]
    assert assistant["content"][0]["input"] == {"city": "杭州"}
    assert [block["type"] for block in answered["content"]] == ["tool_result", "tool_result", "text"]


def test_arguments_that_are_no_json_are_the_callers(chat: Make) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call(1, "{broken")]}]
    with pytest.raises(Invalid) as raised:
        chat("plain").reply(ChatRequest(messages=turns))
    assert raised.value.field == "messages"


def test_the_first_turn_is_the_users(chat: Make, anthropic_fake: VendorFake) -> None:
    chat("plain").reply(ChatRequest(messages=[{"role": "assistant", "content": "Hello"}]))
    assert anthropic_fake.requests[0].json["messages"][0]["role"] == "user"


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "get_weather"}}, {"type": "tool", "name": "get_weather"}),
    ],
)
def test_the_choice_of_a_tool(chat: Make, anthropic_fake: VendorFake, choice: object, wanted: dict[str, str]) -> None:
    chat("plain").reply(HELLO.model_copy(update={"tools": [TOOL], "tool_choice": choice}))
    assert anthropic_fake.requests[0].json["tool_choice"] == wanted


def test_a_newer_model_gets_no_temperature(chat: Make) -> None:
    asked = HELLO.model_copy(update={"temperature": 0.5, "top_p": 0.5})
    assert chat("no-sampling", ChatFlags(accepts_temperature=False)).reply(asked).text == samples.TEXT


def test_cached_tokens_are_part_of_the_prompt(chat: Make) -> None:
    reply = chat("cached").reply(HELLO)
    assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.usage.completion_tokens) == (442, 400, 6)
    streamed = join_deltas(chat("cached").stream(HELLO), model="")
    assert (streamed.usage.prompt_tokens, streamed.usage.completion_tokens) == (442, 15)


@pytest.mark.parametrize("behaviour", ["pings", "new-event"])
def test_events_that_say_nothing_are_passed_over(chat: Make, behaviour: str) -> None:
    assert join_deltas(chat(behaviour).stream(HELLO), model="").text == samples.TEXT


def test_tools_are_counted_in_their_own_order(chat: Make) -> None:
    """The text block before them has an index too."""
    asked = HELLO.model_copy(update={"tools": [TOOL, TOOL]})
    indices = {
        piece.index
        for batch in chat("parallel-tools").stream(asked)
        for delta in batch
        for piece in delta.tool_calls or ()
    }
    assert indices == {0, 1}
