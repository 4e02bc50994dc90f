"""Errors as OpenAI's package raises them, and what it retries by itself."""

import signal
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.fakes.vendor import VendorFake
from tests.live import LiveServer
from tests.openai.conftest import Target

ANY = "any"
CHAT = "POST /v1/chat/completions"
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]


def ask(client: openai.OpenAI, model: str = "demo", **more: Any) -> Any:
    return client.chat.completions.create(**{"model": model, "messages": HELLO, **more})


@pytest.mark.proves(ANY, "`AuthenticationError` with its `request_id`, and no part of the key told")
def test_a_wrong_key(target: Target) -> None:
    client = openai.OpenAI(base_url=f"{target.url}/v1", api_key="sk-not-a-key" + "x" * 34, max_retries=0)
    with pytest.raises(openai.AuthenticationError) as raised:
        client.models.list()
    error = raised.value
    assert error.request_id and error.request_id == error.response.headers["x-request-id"]
    assert (error.type, error.code, error.param) == ("authentication_error", "invalid_api_key", None)
    assert "not-a-key" not in error.response.text


@pytest.mark.proves(ANY, "`NotFoundError` for a model that nobody has")
def test_an_unknown_model(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        ask(sdk, "nobody-has-this")
    assert (raised.value.type, raised.value.code) == ("not_found_error", "model_not_found")
    assert raised.value.request_id


@pytest.mark.parametrize(
    ("sent", "param", "code"),
    [
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"messages": []}, "messages", "missing_required_parameter"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages.0.content", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content", "invalid_value"),
        ({"n": 2}, "n", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"stream_options": "yes"}, "stream_options", "invalid_value"),
        ({"extra_body": {"stream": "perhaps"}}, "stream", "invalid_value"),
    ],
)
@pytest.mark.proves(ANY, "`BadRequestError` names the parameter")
def test_a_wrong_field(sdk: openai.OpenAI, sent: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        ask(sdk, **sent)
    error = raised.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert set(error.response.json()["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"", 400), (b"null", 400), (b"[" * 100_000, 400), (b"\xff\xfe", 400), (b"[]", 400)],
    ids=["broken", "empty", "null", "deep", "not-utf-8", "list"],
)
def test_a_broken_body(target: Target, body: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    answer = requests.post(f"{target.url}/v1/chat/completions", data=body, headers=headers, timeout=30)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys() and error["code"] == error["code"].lower()


@pytest.mark.proves(ANY, "an unknown path is `NotFoundError`, a wrong method 405")
def test_an_unknown_path(sdk: openai.OpenAI, target: Target) -> None:
    with pytest.raises(openai.NotFoundError):
        sdk.post("/nothing-here", cast_to=object)
    answer = requests.put(f"{target.url}/v1/models", headers={"Authorization": f"Bearer {target.key}"}, timeout=30)
    assert answer.status_code == 405 and answer.headers["Allow"]
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.proves(ANY, "`x-ratelimit-*-requests` headers")
def test_limits_are_told(sdk: openai.OpenAI) -> None:
    headers = sdk.models.with_raw_response.list().headers
    assert int(headers["x-ratelimit-remaining-requests"]) < int(headers["x-ratelimit-limit-requests"])
    assert headers["x-ratelimit-reset-requests"].endswith("s")


@pytest.fixture(scope="module")
def tight(own: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A service of its own that takes two generations in three seconds."""
    folder = tmp_path_factory.mktemp("tight")
    server = LiveServer(folder, AUTH="open", RATE_LIMIT_GENERATION="2/3second")
    server.start()
    yield server
    server.stop(signal.SIGTERM)


def open_client(server: LiveServer, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", **more)


@pytest.mark.proves(ANY, "`RateLimitError`, which the package retries after `Retry-After`")
def test_a_limit_is_waited_for(tight: LiveServer) -> None:
    plain = open_client(tight, max_retries=0)
    with pytest.raises(openai.RateLimitError) as raised:
        for _ in range(4):
            ask(plain)
    error = raised.value
    assert (error.type, error.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert 1 <= int(error.response.headers["retry-after"]) <= 3
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    # The package waits as long as it was told, and then has its answer.
    assert ask(open_client(tight, max_retries=2)).choices[0].message.content


@pytest.mark.proves(ANY, "`AUTH=open` takes the placeholder that the package must be given")
def test_a_placeholder_is_no_key(tight: LiveServer) -> None:
    assert open_client(tight).models.list().data
    with pytest.raises(openai.AuthenticationError):
        open_client(tight, max_retries=0).with_options(api_key="sk-" + "x" * 43).models.list()


@pytest.mark.proves(CHAT, "a model that is not installed: 503, the command, and no retry")
def test_a_model_that_is_not_installed(tight: LiveServer) -> None:
    # Twice the package may try again: it waits for the limit, and gives up at once for want of a model.
    with pytest.raises(openai.InternalServerError) as raised:
        ask(open_client(tight, max_retries=2), "smollm2-135m-instruct")
    error = raised.value
    assert (error.status_code, error.code) == (503, "model_not_installed")
    assert error.response.headers["x-should-retry"] == "false"
    assert int(error.response.headers["retry-after"]) > 0
    assert "flask models pull smollm2-135m-instruct" in error.message


@pytest.mark.parametrize(
    ("behaviour", "kind", "code", "retried"),
    [
        ("error-401", openai.InternalServerError, "upstream_error", 1),
        ("error-500", openai.InternalServerError, "upstream_error", None),
        ("quota", openai.InternalServerError, "insufficient_quota", 1),
        ("error-404", openai.NotFoundError, "not_found", 1),
        ("error-400", openai.BadRequestError, "invalid_value", 1),
    ],
)
@pytest.mark.proves(CHAT, "a provider's failures: 502, 503, 504, and retried by the package only where that helps")
def test_failures_of_a_provider(
    sdk: openai.OpenAI, upstream: VendorFake, behaviour: str, kind: Any, code: str, retried: int | None
) -> None:
    with pytest.raises(kind) as raised:
        ask(sdk.with_options(max_retries=1), f"openai/gpt-4o@{behaviour}")
    assert raised.value.code == code
    assert "sk-" not in raised.value.response.text
    if retried:
        assert len(upstream.requests) == retried


@pytest.mark.proves(CHAT, "an error before the first piece of a stream keeps its status")
def test_an_early_error_of_a_stream(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(sdk, "nobody-has-this", stream=True)


@pytest.mark.proves(CHAT, "a prompt longer than the context is `context_length_exceeded`")
def test_a_prompt_that_is_too_long(sdk: openai.OpenAI, chat_model: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        ask(sdk, chat_model, messages=[{"role": "user", "content": "word " * 40_000}], max_tokens=1)
    assert raised.value.code == "context_length_exceeded"
