"""One suite over every provider: whatever the vendor speaks, a chat looks the same from here."""

import threading

import pytest

from services.cancellation import Cancellation, cancellable
from services.contracts.chat import ChatDelta, ChatModel, ChatReply, ChatRequest, join_deltas
from services.contracts.models import ChatFlags
from services.errors import Cancelled, Invalid, NotFound, UpstreamBusy, UpstreamFailed, UpstreamTimeout
from services.outbound import Outbound
from tests.fakes import samples
from tests.services.providers.conftest import Place

HELLO = ChatRequest(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_forecast")
]
WITH_TOOLS = HELLO.model_copy(update={"tools": TOOLS})


def streamed(model: ChatModel, request: ChatRequest = HELLO) -> ChatReply:
    """The reply that the stream adds up to."""
    return join_deltas(model.stream(request), model="")


def first_text(batches: object) -> str:
    """Reads *batches* up to the first text."""
    for batch in batches:  # type: ignore[attr-defined]
        if text := "".join(delta.text for delta in batch):
            return text
    raise AssertionError("no text came")


# -- What is answered


def test_a_whole_answer(place: Place) -> None:
    reply = place.chat("plain").reply(HELLO)
    assert (reply.text, reply.finish_reason) == (samples.TEXT, "stop")
    assert reply.id
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_streamed_answer_says_the_same(place: Place) -> None:
    reply = streamed(place.chat("plain"))
    assert (reply.text, reply.finish_reason) == (samples.TEXT, "stop")
    assert reply.id
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


@pytest.mark.parametrize(
    "behaviour", ["crlf", "no-blank", "comments", "bytes", "close-delimited", "no-content-type", "empty-choices"]
)
def test_every_framing_is_read(place: Place, behaviour: str) -> None:
    if (place.name, behaviour) == ("anthropic", "empty-choices"):
        pytest.skip("this vendor has no choices; the fake answers nothing then")
    reply = streamed(place.chat(behaviour))
    assert (reply.text, reply.finish_reason) == (samples.TEXT, "stop")


def test_pieces_arrive_as_they_are_sent(place: Place) -> None:
    batches = place.chat("stepped").stream(HELLO)
    assert first_text(batches) == samples.PIECES[0]
    place.fake.step()
    assert first_text(batches) == samples.PIECES[1]
    place.fake.release.set()
    assert join_deltas(batches, model="").text == "".join(samples.PIECES[2:])


def test_reasoning_stands_apart_from_the_text(place: Place) -> None:
    flags = ChatFlags(thinking="only")
    for reply in (place.chat("reasoning", flags).reply(HELLO), streamed(place.chat("reasoning", flags))):
        assert (reply.reasoning, reply.text) == (samples.REASONING, samples.TEXT)


@pytest.mark.parametrize("length", ["length", "max_tokens", "model_context_window_exceeded"])
def test_an_answer_that_was_cut_to_length(place: Place, length: str) -> None:
    assert streamed(place.chat(f"finish-{length}")).finish_reason == "length"
    assert place.chat(f"finish-{length}").reply(HELLO).finish_reason == "length"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("a_new_one", "stop"),
    ],
)
def test_finish_reasons_are_in_our_words(place: Place, theirs: str, ours: str) -> None:
    assert streamed(place.chat(f"finish-{theirs}")).finish_reason == ours


# -- Tools


@pytest.mark.parametrize("way", ["reply", "stream"])
def test_tool_calls_come_whole(place: Place, way: str) -> None:
    model = place.chat("parallel-tools")
    reply = model.reply(WITH_TOOLS) if way == "reply" else streamed(model, WITH_TOOLS)
    assert reply.finish_reason == "tool_calls"
    assert [call.function.name for call in reply.tool_calls] == ["get_weather", "get_forecast"]
    assert all(call.id for call in reply.tool_calls)
    assert '"Berlin"' in reply.tool_calls[1].function.arguments


def test_an_id_comes_once_and_is_never_empty(place: Place) -> None:
    pieces = [
        piece
        for batch in place.chat("parallel-tools").stream(WITH_TOOLS)
        for delta in batch
        for piece in delta.tool_calls or ()
    ]
    ids = [piece.id for piece in pieces if piece.id is not None]
    assert len(ids) == len(set(ids)) == 2
    assert "" not in ids


def test_results_of_tools_go_back(place: Place) -> None:
    reply = place.chat("plain").reply(WITH_TOOLS)
    turns = [
        *HELLO.messages,
        {"role": "assistant", "tool_calls": [call.model_dump() for call in reply.tool_calls]},
        {"role": "tool", "tool_call_id": reply.tool_calls[0].id, "content": "21 degrees"},
    ]
    told = ChatRequest(messages=[m if isinstance(m, dict) else m.model_dump() for m in turns], tools=TOOLS)
    assert streamed(place.chat("plain"), told).text == samples.TEXT


# -- What goes wrong


@pytest.mark.parametrize("way", ["reply", "stream"])
@pytest.mark.parametrize(
    ("behaviour", "error", "kind"),
    [
        ("error-401", UpstreamFailed, "auth"),
        ("error-403", UpstreamFailed, "auth"),
        ("error-500", UpstreamFailed, "server"),
        ("html-502", UpstreamFailed, "server"),
        ("html-503", UpstreamBusy, None),
        ("error-429", UpstreamBusy, None),
        ("overloaded", UpstreamBusy, None),
        ("error-400", Invalid, None),
        ("error-404", NotFound, None),
        ("missing", NotFound, None),
        ("cut", UpstreamFailed, "stream_broken"),
        ("reset", UpstreamFailed, "stream_broken"),
    ],
)
def test_a_failure_has_its_kind(place: Place, way: str, behaviour: str, error: type, kind: str | None) -> None:
    model = place.chat(behaviour)
    with pytest.raises(error) as raised:
        model.reply(HELLO) if way == "reply" else streamed(model)
    assert kind is None or raised.value.kind == kind  # type: ignore[attr-defined]
    assert place.fake.key not in raised.value.say("en") + raised.value.say("zh")


def test_a_refused_key_is_told_and_not_repeated(place: Place) -> None:
    with pytest.raises(UpstreamFailed) as raised:
        place.chat("plain", key="sk-a-wrong-one").reply(HELLO)
    assert raised.value.kind == "auth"
    assert "sk-a-wrong-one" not in raised.value.say("en")


def test_a_limit_hands_on_when_to_come_again(place: Place) -> None:
    with pytest.raises(UpstreamBusy) as raised:
        place.chat("limited-7").reply(HELLO)
    assert raised.value.retry_after_seconds == 7


def test_an_error_body_under_200_is_an_error(place: Place) -> None:
    for call in (place.chat("error-200").reply, lambda request: streamed(place.chat("error-200"), request)):
        with pytest.raises((Invalid, UpstreamFailed)) as raised:
            call(HELLO)
        assert getattr(raised.value, "kind", "") != "stream_broken"


def test_an_error_in_the_middle_comes_after_the_text(place: Place) -> None:
    batches = place.chat("mid-error").stream(HELLO)
    assert first_text(batches) == samples.PIECES[0]
    with pytest.raises((UpstreamFailed, UpstreamBusy, Invalid)) as raised:
        list(batches)
    blamed = {"dashscope": Invalid, "anthropic": UpstreamBusy}.get(place.name, UpstreamFailed)
    assert isinstance(raised.value, blamed)
    assert getattr(raised.value, "kind", "") != "stream_broken"


def test_a_stream_that_says_neither_why_nor_that_it_ends_is_broken(place: Place) -> None:
    with pytest.raises(UpstreamFailed) as raised:
        streamed(place.chat("no-finish"))
    assert raised.value.kind == "stream_broken"


def test_a_finish_reason_alone_is_an_end(place: Place) -> None:
    assert streamed(place.chat("no-end")).finish_reason == "stop"


def test_what_the_filter_refused_names_the_messages(place: Place) -> None:
    if place.name == "anthropic":
        pytest.skip("Anthropic has no such error; it says `refusal` as a finish reason")
    with pytest.raises(Invalid) as raised:
        place.chat("sensitive").reply(HELLO)
    assert raised.value.details == {"field": "messages", "reason": "content_filter"}


def test_no_money_is_no_rate_limit(place: Place) -> None:
    if place.name == "dashscope":
        pytest.skip("DashScope tells it by words alone; `arrears` is in its own tests")
    with pytest.raises(UpstreamFailed) as raised:
        place.chat("quota").reply(HELLO)
    assert raised.value.kind == "quota"
    assert len(place.fake.requests) == 1


# -- Waits


@pytest.mark.parametrize("behaviour", ["slow", "silent"])
def test_silence_is_a_timeout(place: Place, behaviour: str) -> None:
    settings = place.outbound.settings
    shorter = {"upstream_first_byte_seconds": 0.3, "upstream_idle_seconds": 0.3, "upstream_answer_seconds": 0.3}
    place.outbound = Outbound(settings.model_copy(update=shorter))
    for call in (place.chat(behaviour).reply, lambda request: streamed(place.chat(behaviour), request)):
        with pytest.raises(UpstreamTimeout):
            call(HELLO)
    assert len(place.fake.requests) == 2


@pytest.mark.parametrize("way", ["reply", "stream"])
def test_a_failure_before_the_first_byte_is_tried_again(place: Place, way: str) -> None:
    place.outbound = Outbound(place.outbound.settings.model_copy(update={"upstream_retries": 2}))
    model = place.chat("flaky-500-2")
    reply = model.reply(HELLO) if way == "reply" else streamed(model)
    assert reply.text == samples.TEXT
    assert len(place.fake.requests) == 3


def test_nothing_is_tried_again_once_it_streams(place: Place) -> None:
    place.outbound = Outbound(place.outbound.settings.model_copy(update={"upstream_retries": 2}))
    with pytest.raises(UpstreamFailed):
        streamed(place.chat("cut"))
    assert len(place.fake.requests) == 1


# -- A client that leaves


@pytest.mark.parametrize("behaviour", ["silent", "stepped"])
def test_closing_the_stream_ends_the_call(place: Place, behaviour: str) -> None:
    batches = place.chat(behaviour).stream(HELLO)
    first_text(batches)
    batches.close()  # type: ignore[attr-defined]
    assert place.fake.requests[0].client_left.wait(1)


@pytest.mark.parametrize(("behaviour", "way"), [("slow", "reply"), ("slow", "stream"), ("silent", "stream")])
def test_throwing_the_switch_ends_the_call(place: Place, behaviour: str, way: str) -> None:
    switch, raised = Cancellation(), threading.Event()

    def work() -> None:
        model = place.chat(behaviour)
        with cancellable(switch), pytest.raises(Cancelled):
            model.reply(HELLO) if way == "reply" else streamed(model)
        raised.set()

    threading.Thread(target=work, daemon=True).start()
    request = place.fake.wait_for_requests(1)[0]
    switch.cancel("client_left")
    assert raised.wait(1)
    assert request.client_left.wait(1)


def test_the_wait_between_tries_ends_with_the_switch(place: Place) -> None:
    place.outbound = Outbound(place.outbound.settings.model_copy(update={"upstream_retries": 2}))
    switch, raised = Cancellation(), threading.Event()

    def work() -> None:
        with cancellable(switch), pytest.raises(Cancelled):
            place.chat("limited-30").reply(HELLO)
        raised.set()

    threading.Thread(target=work, daemon=True).start()
    place.fake.wait_for_requests(1)[0].answered.wait(2)
    switch.cancel("client_left")
    assert raised.wait(1)
    assert len(place.fake.requests) == 1


def test_connections_are_used_again(place: Place) -> None:
    for _ in range(3):
        streamed(place.chat("plain"))
    pools = place.outbound._trusted.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118  It is no dict.


def test_deltas_that_say_nothing_are_left_out(place: Place) -> None:
    deltas = [delta for batch in place.chat("plain").stream(HELLO) for delta in batch]
    assert ChatDelta() not in deltas
    assert all(batch for batch in place.chat("plain").stream(HELLO))
