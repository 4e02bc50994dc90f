"""DashScope's own ways: two addresses, lists of parts, cumulative streams that must not be."""

from collections.abc import Callable

import pytest

from services.contracts.chat import ChatModel, ChatRequest, join_deltas
from services.contracts.models import ChatFlags
from services.errors import Invalid, NotFound, UpstreamFailed
from services.outbound import Outbound
from services.providers import find_provider
from tests.fakes import samples
from tests.fakes.vendor import VendorFake

HELLO = ChatRequest(messages=[{"role": "user", "content": "Hi"}])
PICTURE = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
Make = Callable[..., ChatModel]


@pytest.fixture
def chat(outbound: Outbound, dashscope_fake: VendorFake) -> Make:
    """Makes a chat model of DashScope's by its name."""
    kind = find_provider("dashscope")
    assert kind
    provider = kind(outbound, key=dashscope_fake.key, base_url=dashscope_fake.base_url, trusted=True)

    def make(model: str, flags: ChatFlags | None = None) -> ChatModel:
        return provider.chat(model, flags or ChatFlags())

    return make


def parameters(fake: VendorFake) -> dict[str, object]:
    found: dict[str, object] = fake.requests[-1].json["parameters"]
    return found


def test_a_text_model_has_its_own_address(chat: Make, dashscope_fake: VendorFake) -> None:
    chat("qwen-plus").reply(HELLO)
    sent = dashscope_fake.requests[0]
    assert sent.path.endswith("/text-generation/generation")
    assert sent.json["input"] == {"messages": [{"role": "user", "content": "Hi"}]}
    assert sent.json["parameters"] == {"result_format": "message"}


def test_a_stream_is_incremental(chat: Make, dashscope_fake: VendorFake) -> None:
    reply = join_deltas(chat("qwen-plus").stream(HELLO), model="")
    assert reply.text == samples.TEXT
    assert parameters(dashscope_fake)["incremental_output"] is True
    assert dashscope_fake.requests[0].headers["x-dashscope-sse"] == "enable"


@pytest.mark.parametrize("way", ["reply", "stream"])
@pytest.mark.parametrize(("model", "flags"), [("qwen-vl-plus", {}), ("a-new-one", {"vision": True})])
def test_a_vision_model_speaks_in_lists(
    chat: Make, dashscope_fake: VendorFake, way: str, model: str, flags: dict[str, bool]
) -> None:
    parts = [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": "What is it?"}]
    asked = ChatRequest(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}])
    seeing = chat(model, ChatFlags(**flags))
    reply = seeing.reply(asked) if way == "reply" else join_deltas(seeing.stream(asked), model="")
    assert reply.text == samples.TEXT
    sent = dashscope_fake.requests[0]
    assert sent.path.endswith("/multimodal-generation/generation")
    assert sent.json["input"]["messages"] == [
        {"role": "system", "content": [{"text": "Be brief."}]},
        {"role": "user", "content": [{"image": PICTURE}, {"text": "What is it?"}]},
    ]


def test_a_text_model_says_that_it_sees_nothing(chat: Make, dashscope_fake: VendorFake) -> None:
    parts = [{"type": "image_url", "image_url": {"url": PICTURE}}]
    with pytest.raises(Invalid, match="qwen-vl-plus"):
        chat("qwen-plus").reply(ChatRequest(messages=[{"role": "user", "content": parts}]))
    assert dashscope_fake.requests == []


def test_tools_on_a_vision_model(chat: Make) -> None:
    asked = HELLO.model_copy(update={"tools": [TOOL]})
    for reply in (chat("qwen-vl-plus").reply(asked), join_deltas(chat("qwen-vl-plus").stream(asked), model="")):
        assert [call.function.name for call in reply.tool_calls] == ["get_weather"]
        assert reply.finish_reason == "tool_calls"


def test_a_forced_tool_ends_with_tool_calls(chat: Make) -> None:
    """DashScope says `stop` there."""
    forced = {"type": "function", "function": {"name": "get_weather"}}
    asked = HELLO.model_copy(update={"tools": [TOOL], "tool_choice": forced})
    assert chat("plain").reply(asked).finish_reason == "tool_calls"
    assert join_deltas(chat("plain").stream(asked), model="").finish_reason == "tool_calls"


def test_what_it_does_not_know_is_put_in_its_words(chat: Make, dashscope_fake: VendorFake) -> None:
    asked = HELLO.model_copy(update={"tools": [TOOL], "tool_choice": "required", "temperature": 2, "max_tokens": 9999})
    chat("plain", ChatFlags(max_output_tokens=100)).reply(asked)
    sent = parameters(dashscope_fake)
    assert (sent["tool_choice"], sent["temperature"], sent["max_tokens"]) == ("auto", 1.99, 100)


@pytest.mark.parametrize(("thinking", "said"), [("optional", False), ("none", None), ("only", None)])
def test_hybrid_models_are_told_not_to_think(
    chat: Make, dashscope_fake: VendorFake, thinking: str, said: bool | None
) -> None:
    chat("plain", ChatFlags(thinking=thinking)).reply(HELLO)
    assert parameters(dashscope_fake).get("enable_thinking") is said


@pytest.mark.parametrize("flags", [{"stream_only": True}, {"thinking": "only"}])
def test_a_model_that_only_streams_still_replies(chat: Make, flags: dict[str, object]) -> None:
    assert chat("stream-only", ChatFlags(**flags)).reply(HELLO).text == samples.TEXT


def test_turns_of_one_role_are_merged(chat: Make, dashscope_fake: VendorFake) -> None:
    turns = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    chat("plain").reply(ChatRequest(messages=turns))
    assert dashscope_fake.requests[0].json["input"]["messages"] == [{"role": "user", "content": "one\n\ntwo"}]


@pytest.mark.parametrize("behaviour", ["null-usage", "gzip", "old-usage"])
def test_odd_answers_are_read(chat: Make, behaviour: str) -> None:
    reply = join_deltas(chat(behaviour).stream(HELLO), model="")
    assert (reply.text, reply.finish_reason) == (samples.TEXT, "stop")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


@pytest.mark.parametrize("behaviour", ["sse-error", "sse-400"])
def test_errors_in_the_form_of_events(chat: Make, behaviour: str) -> None:
    with pytest.raises(Invalid):
        list(chat(behaviour).stream(HELLO))


def test_an_error_in_openais_shape(chat: Make) -> None:
    with pytest.raises(NotFound):
        chat("openai-error").reply(HELLO)


def test_an_account_in_arrears_is_quota(chat: Make) -> None:
    with pytest.raises(UpstreamFailed) as raised:
        chat("arrears").reply(HELLO)
    assert raised.value.kind == "quota"


def test_an_answer_without_a_choice_is_none(chat: Make) -> None:
    with pytest.raises(UpstreamFailed):
        chat("empty-choices").reply(HELLO)
