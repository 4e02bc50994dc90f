"""The chat routes: answers, streams, and every way in which a request can be wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Login = Callable[..., dict[str, str]]
HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}


def frames(text: str) -> list[str]:
    return [part.removeprefix("data: ") for part in text.split("\n\n") if part.startswith("data: ")]


def test_complete(client: FlaskClient, login: Login) -> None:
    answer = client.post("/api/chat/completions", json=HELLO, headers=login())
    assert answer.status_code == 200
    assert "hello" in answer.json["content"]
    assert answer.json["model"] == "demo"
    assert answer.json["finish_reason"] == "stop"


def test_stream(client: FlaskClient, login: Login) -> None:
    answer = client.post("/api/chat/stream", json=HELLO, headers=login())
    assert answer.mimetype == "text/event-stream"
    *pieces, done = frames(answer.text)
    assert done == "[DONE]"
    assert "hello" in "".join(json.loads(piece)["content"] for piece in pieces)


def test_a_call_is_counted_for_its_user(client: FlaskClient, login: Login, services: Any) -> None:
    client.post("/api/chat/completions", json=HELLO, headers=login())
    services.usage.flush()
    usage = client.get("/api/usage?by=user", headers=login()).json
    assert usage["count"] == 1
    assert usage["usage"][0]["key"] == "admin"
    assert usage["usage"][0]["calls"] == 1


BROKEN: list[tuple[dict[str, Any], int, str]] = [
    ({"data": "{", "content_type": "application/json"}, 400, "INVALID_REQUEST"),
    ({"data": "", "content_type": "application/json"}, 400, "INVALID_REQUEST"),
    ({"data": "null", "content_type": "application/json"}, 400, "INVALID_REQUEST"),
    ({"data": "[" * 100_000, "content_type": "application/json"}, 400, "INVALID_REQUEST"),
    ({"data": '{"a": NaN}', "content_type": "application/json"}, 400, "INVALID_REQUEST"),
    ({"data": b"\xff\xfe{}", "content_type": "application/json"}, 400, "INVALID_REQUEST"),
    ({"data": "<xml/>", "content_type": "text/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ({"json": []}, 400, "INVALID_REQUEST"),
    ({"json": "text"}, 400, "INVALID_REQUEST"),
    ({"json": HELLO | {"messages": [{"role": "nobody", "content": "x"}]}}, 400, "INVALID_REQUEST"),
    ({"json": HELLO | {"messages": [{"role": "user", "content": [{"type": "video"}]}]}}, 400, "INVALID_REQUEST"),
    ({"json": HELLO | {"messages": [{"content": "x"}]}}, 400, "INVALID_REQUEST"),
    ({"json": HELLO | {"model": "nobody-has-this"}}, 404, "NOT_FOUND"),
    ({"json": HELLO | {"model": "../../etc/passwd"}}, 404, "NOT_FOUND"),
    ({"json": HELLO | {"model": "whisper-base"}}, 404, "NOT_FOUND"),
    ({"json": HELLO | {"model": "smollm2-135m-instruct"}}, 503, "SERVICE_UNAVAILABLE"),
    ({"json": HELLO | {"model": "qwen-turbo"}}, 503, "SERVICE_UNAVAILABLE"),
    ({"json": HELLO | {"model": None}}, 503, "SERVICE_UNAVAILABLE"),
]


@pytest.mark.parametrize("path", ["/api/chat/completions", "/api/chat/stream"])
@pytest.mark.parametrize(("sent", "status", "code"), BROKEN)
def test_bad_input(client: FlaskClient, login: Login, path: str, sent: dict[str, Any], status: int, code: str) -> None:
    answer = client.post(path, headers=login(), **sent)
    assert answer.status_code == status, answer.text
    assert answer.json["error"]["code"] == code
    assert answer.json["detail"] == answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"stop": [1]}, "stop"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content"),
    ],
)
def test_a_wrong_field_is_named_as_its_sender_knows_it(
    client: FlaskClient, login: Login, sent: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/chat/completions", json=HELLO | sent, headers=login())
    assert answer.json["error"]["details"]["field"] == answer.json["error"]["param"] == field


def test_a_model_that_is_not_there_names_the_command(client: FlaskClient, login: Login) -> None:
    answer = client.post("/api/chat/stream", json=HELLO | {"model": "smollm2-135m-instruct"}, headers=login())
    details = answer.json["error"]["details"]
    assert details["reason"] == "model_not_installed"
    assert details["command"] == "flask models pull smollm2-135m-instruct"
    assert details["command"] in answer.json["detail"]


def test_a_prompt_over_the_limit_is_413(client: FlaskClient, login: Login) -> None:
    large = HELLO | {"messages": [{"role": "user", "content": "x" * (21 * 2**20)}]}
    answer = client.post("/api/chat/completions", json=large, headers=login())
    assert answer.status_code == 413
    assert answer.json["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_a_prompt_of_10_mb_is_answered(client: FlaskClient, login: Login) -> None:
    large = HELLO | {"max_tokens": 3, "messages": [{"role": "user", "content": "x " * (5 * 2**20)}]}
    answer = client.post("/api/chat/completions", json=large, headers=login())
    assert answer.status_code == 200


def test_a_stranger_learns_nothing_of_the_body(client: FlaskClient) -> None:
    answer = client.post("/api/chat/completions", json={"messages": "wrong"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("sent", ["abc", "a-b_c.1:2", "x" * 64])
def test_a_sane_request_id_is_kept(client: FlaskClient, sent: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["a b", "x" * 65, "é", "a;b", "<script>", ""])
def test_another_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": sent.encode("utf-8").decode("latin-1")})
    assert answer.headers["X-Request-ID"].startswith("req-")


def test_a_wrong_method_names_the_right_ones(client: FlaskClient, login: Login) -> None:
    answer = client.get("/api/chat/stream", headers=login())
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "OPTIONS, POST"
    assert answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"
