"""What OpenAI and the servers that speak its protocol do in their own way."""

import pytest

from services.contracts.chat import ChatModel, ChatRequest, join_deltas
from services.contracts.models import ChatFlags
from services.errors import Invalid, UpstreamFailed
from services.outbound import Outbound
from services.providers import find_provider
from tests.fakes import samples
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.vendor import VendorFake

HELLO = ChatRequest(messages=[{"role": "user", "content": "Hi"}])
PICTURE = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def chat(outbound: Outbound, openai_fake: VendorFake):  # type: ignore[no-untyped-def]
    """Makes a chat model of OpenAI's by its name."""
    kind = find_provider("openai")
    assert kind
    provider = kind(outbound, key=openai_fake.key, base_url=openai_fake.base_url + "/", trusted=True)

    def make(model: str, flags: ChatFlags | None = None) -> ChatModel:
        return provider.chat(model, flags or ChatFlags())

    return make


def test_the_request_is_handed_on(chat, openai_fake: VendorFake) -> None:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    asked = ChatRequest(
        model="the client's name",
        messages=[{"role": "user", "content": parts}],
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        stop=["END"],
        seed=3,
        response_format={"type": "json_object"},
    )
    chat("gpt-4o").reply(asked)
    wanted = asked.model_dump(exclude_none=True) | {"model": "gpt-4o"}
    assert openai_fake.requests[0].json == wanted
    assert openai_fake.requests[0].headers["authorization"] == f"Bearer {openai_fake.key}"


def test_a_stream_asks_for_its_usage_and_plain_bytes(chat, openai_fake: VendorFake) -> None:
    list(chat("gpt-4o").stream(HELLO))
    sent = openai_fake.requests[0]
    assert sent.json["stream"] is True
    assert sent.json["stream_options"] == {"include_usage": True}
    assert sent.headers["accept-encoding"] == "identity"


def test_reasoning_models_know_the_newer_name_alone(chat, openai_fake: VendorFake) -> None:
    chat("o3@plain").reply(HELLO.model_copy(update={"max_tokens": 7, "temperature": 0.5}))
    sent = openai_fake.requests[0].json
    assert sent["max_completion_tokens"] == 7
    assert not {"max_tokens", "temperature"} & sent.keys()


def test_a_model_without_a_temperature_gets_none(chat, openai_fake: VendorFake) -> None:
    chat("plain", ChatFlags(accepts_temperature=False)).reply(HELLO.model_copy(update={"temperature": 1, "top_p": 1}))
    assert not {"temperature", "top_p"} & openai_fake.requests[0].json.keys()


@pytest.mark.parametrize("behaviour", ["null-finish", "usage-each", "event-names"])
def test_odd_streams_are_read(chat, behaviour: str) -> None:
    reply = join_deltas(chat(behaviour).stream(HELLO), model="")
    assert (reply.text, reply.finish_reason, reply.usage.total_tokens) == (samples.TEXT, "stop", 21)


def test_the_string_null_is_no_finish_reason(chat) -> None:
    reasons = [delta.finish_reason for batch in chat("null-finish").stream(HELLO) for delta in batch]
    assert [reason for reason in reasons if reason] == ["stop"]


@pytest.mark.parametrize(("behaviour", "words"), [("flat-error", "flat"), ("string-error", "plain words")])
def test_errors_in_other_shapes(chat, behaviour: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        chat(behaviour).reply(HELLO)


def test_the_fewest_fields_are_an_answer(chat) -> None:
    reply = chat("minimal").reply(HELLO)
    assert (reply.text, reply.finish_reason, reply.usage.total_tokens) == ("x", "stop", 0)


def test_an_answer_without_a_choice_is_none(chat) -> None:
    with pytest.raises(UpstreamFailed) as raised:
        chat("empty-choices").reply(HELLO)
    assert raised.value.kind == "server"


def test_a_server_that_goes_on_after_the_end_is_not_waited_for(chat, openai_fake: VendorFake) -> None:
    """Some keep the connection open behind [DONE]."""

    def lingering(fake: VendorFake, _request: RecordedRequest) -> Reply:
        def frames():  # type: ignore[no-untyped-def]
            yield 'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            yield from fake.until_released()

        return Reply(frames())

    openai_fake.add_route("POST", "/v1/chat/completions", lingering)
    assert join_deltas(chat("any").stream(HELLO), model="").text == "x"
    assert openai_fake.requests[0].client_left.wait(2)
    assert not openai_fake.release.is_set()


def test_a_page_instead_of_an_answer_is_told(chat, openai_fake: VendorFake) -> None:
    openai_fake.add_route(
        "POST", "/v1/chat/completions", lambda _fake, _request: Reply("<html>", headers={"content-type": "text/html"})
    )
    with pytest.raises(UpstreamFailed):
        chat("any").reply(HELLO)
    with pytest.raises(UpstreamFailed):
        list(chat("any").stream(HELLO))


def test_a_new_provider_is_a_class(outbound: Outbound, openai_fake: VendorFake) -> None:
    """As README shows it; without a key none is sent."""
    kind = find_provider("openai_like")
    assert kind
    with pytest.raises(UpstreamFailed):
        kind(outbound, base_url=openai_fake.base_url, trusted=True).chat("x", ChatFlags()).reply(HELLO)
    assert "authorization" not in openai_fake.requests[0].headers
