"""System 4, as its clients call it: no token (AUTH=open), only the base URL is new."""

import json
import re

import pytest
import requests

from tests.live import LiveServer

LOCAL = "smollm2-135m-instruct"


def ask(**changes: object) -> dict[str, object]:
    return {
        "model": LOCAL,
        "messages": [{"role": "user", "content": "你好"}],
        "temperature": 0.7,
        "max_tokens": 20,
        **changes,
    }


def test_health(open_server: LiveServer) -> None:
    answer = requests.get(f"{open_server.url}/health", timeout=10)
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["message"] == "Backend service is running"
    assert body["checks"] == {"database": "ok", "job_runner": "ok", "disk": "ok"}


def test_completions(open_server: LiveServer) -> None:
    answer = requests.post(f"{open_server.url}/api/chat/completions", json=ask(), timeout=60)
    assert answer.status_code == 200
    body = answer.json()
    assert isinstance(body["id"], str) and body["id"]
    assert isinstance(body["content"], str) and body["content"]
    assert body["model"] == LOCAL
    usage = body["usage"]
    assert usage["prompt_tokens"] > 0 and 0 < usage["completion_tokens"] <= 20
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_stream(open_server: LiveServer) -> None:
    answer = requests.post(f"{open_server.url}/api/chat/stream", json=ask(), stream=True, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Accel-Buffering"] == "no"
    frames = [line for line in answer.iter_lines() if line and not line.startswith(b":")]
    assert all(frame.startswith(b"data: ") for frame in frames)
    assert frames[-1] == b"data: [DONE]"
    pieces = [json.loads(frame[6:]) for frame in frames[:-1]]
    assert all({"content", "finish_reason"} <= piece.keys() for piece in pieces)
    assert "".join(piece["content"] for piece in pieces)
    assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] in (["stop"], ["length"])


def test_models(open_server: LiveServer) -> None:
    models = requests.get(f"{open_server.url}/api/models", timeout=10).json()["models"]
    assert [model["id"] for model in models[:4]] == ["qwen-turbo", "qwen-plus", "qwen-max", "qwen-max-longcontext"]
    documented = {
        "id": "qwen-turbo",
        "name": "通义千问-Turbo",
        "description": "快速响应，适合日常对话",
        "provider": "Alibaba",
        "maxTokens": 6000,
    }
    assert documented.items() <= models[0].items()
    assert LOCAL in {model["id"] for model in models}


def test_any_origin_may_call_without_credentials(open_server: LiveServer) -> None:
    answer = requests.options(
        f"{open_server.url}/api/chat/stream",
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
        timeout=10,
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "http://localhost:3000"}
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": 7}, "model"),
    ],
)
def test_a_wrong_field_is_400(open_server: LiveServer, changes: dict[str, object], field: str) -> None:
    answer = requests.post(f"{open_server.url}/api/chat/completions", json=ask(**changes), timeout=10)
    assert answer.status_code == 400
    body = answer.json()
    assert body["error"]["code"] == "INVALID_REQUEST"
    assert body["error"]["details"]["field"] == field
    assert body["detail"] == body["error"]["message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
    assert body["request_id"] == answer.headers["X-Request-ID"]


def test_errors_speak_chinese_by_default_header(open_server: LiveServer) -> None:
    answer = requests.post(
        f"{open_server.url}/api/chat/completions", json={}, headers={"Accept-Language": "zh-CN"}, timeout=10
    )
    assert answer.json()["detail"] == "参数'messages'不能为空。"


@pytest.mark.parametrize("path", ["/api/chat/nothing", "/nothing"])
def test_an_unknown_path_is_404(open_server: LiveServer, path: str) -> None:
    answer = requests.get(open_server.url + path, timeout=10)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"
