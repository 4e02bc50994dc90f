"""System 2, as its clients call it: no token (AUTH=open), only the base URL is new."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fakes.vendor import VendorFake
from tests.live import LiveServer

KEY = "sk-0123456789abcdef"
QWEN = {"name": "通义千问", "provider": "qwen", "api_key": KEY, "model": "qwen-image-plus", "is_active": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, vendor_fakes: dict[str, VendorFake]) -> Iterator[LiveServer]:
    """One running service with the document's settings; its two providers are fakes."""
    running = LiveServer(
        tmp_path_factory.mktemp("system-2"),
        AUTH="open",
        SECRET_KEY="a-secret-that-only-tests-use-0123456789",
        DATABASE_URL="sqlite:///chat_history.db",
        QWEN_API_KEY=vendor_fakes["dashscope"].key,
        QWEN_API_URL=vendor_fakes["dashscope"].base_url + "/",
        DOUBAO_API_KEY=vendor_fakes["ark"].key,
        DOUBAO_API_URL=vendor_fakes["ark"].base_url + "/",
        ALLOW_HTTP_UPSTREAMS="true",
        ALLOWED_UPSTREAMS="127.0.0.1",
    )
    running.start()
    yield running
    running.stop()


def call(server: LiveServer, method: str, path: str, **body: Any) -> Any:
    """The JSON of an answer, which must be 200."""
    answer = requests.request(method, server.url + path, json=body or None, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def made(server: LiveServer) -> Iterator[dict[str, Any]]:
    """A configuration, gone again after the test."""
    row = call(server, "POST", "/api/config", **QWEN)
    yield row
    requests.delete(f"{server.url}/api/config/{row['id']}", timeout=10)


def test_add_and_list(server: LiveServer, made: dict[str, Any]) -> None:
    shown = {**QWEN, "id": made["id"], "api_key": "sk-…cdef", "base_url": ""}
    assert made == shown
    assert call(server, "GET", "/api/config") == {"configs": [shown]}


def test_update(server: LiveServer, made: dict[str, Any]) -> None:
    row = call(server, "PUT", f"/api/config/{made['id']}", name="renamed", is_active=False)
    assert row == {**made, "name": "renamed", "is_active": False}
    assert call(server, "GET", "/api/config") == {"configs": [row]}


def test_delete(server: LiveServer) -> None:
    made = call(server, "POST", "/api/config", **QWEN)
    assert call(server, "DELETE", f"/api/config/{made['id']}") == {"success": True}
    assert call(server, "GET", "/api/config") == {"configs": []}


@pytest.mark.parametrize("provider", ["qwen", "doubao"])
def test_test(server: LiveServer, provider: str, dashscope_fake: VendorFake, ark_fake: VendorFake) -> None:
    fake = dashscope_fake if provider == "qwen" else ark_fake
    told = call(server, "POST", "/api/config/test", provider=provider, api_key=fake.key)
    assert set(told) == {"ok", "latency_ms", "detail"}
    assert told["ok"] is True and isinstance(told["latency_ms"], int)
    told = call(server, "POST", "/api/config/test", provider=provider, api_key=KEY, base_url=fake.base_url)
    assert told["ok"] is False
    assert KEY not in told["detail"]


def test_a_stored_one_is_tested(server: LiveServer, made: dict[str, Any], dashscope_fake: VendorFake) -> None:
    assert call(server, "POST", "/api/config/test", config_id=made["id"])["ok"] is False
    call(server, "PUT", f"/api/config/{made['id']}", api_key=dashscope_fake.key)
    assert call(server, "POST", "/api/config/test", config_id=made["id"])["ok"] is True


def test_history_of_nothing(server: LiveServer) -> None:
    call(server, "DELETE", "/api/history")
    body = call(server, "GET", "/api/history")
    assert (body["history"], body["count"]) == ([], 0)


def test_status(server: LiveServer) -> None:
    body = call(server, "GET", "/api/status")
    assert body["status"] == "ok"
    assert isinstance(body["version"], str) and isinstance(body["uptime_seconds"], int)
    assert {"dashscope", "ark"} <= set(body["providers"])
    assert {"jobs", "device", "disk"} <= set(body)
    assert 0 < body["disk"]["free_mb"] <= body["disk"]["total_mb"]


def test_health(server: LiveServer) -> None:
    body = call(server, "GET", "/health")
    assert body["status"] == "ok"
    assert body["checks"]["database"] == "ok"


def test_the_page_of_another_origin_may_call(server: LiveServer) -> None:
    answer = requests.options(
        f"{server.url}/api/config/config-0123456789abcdef",
        headers={"Origin": "http://localhost:5173", "Access-Control-Request-Method": "PUT"},
        timeout=10,
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", "http://localhost:5173"}
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/api/config/config-0123456789abcdef", 404),
        ("DELETE", "/api/config/1", 404),
        ("DELETE", "/api/history/1", 404),
    ],
)
def test_what_is_not_there_is_404(server: LiveServer, method: str, path: str, status: int) -> None:
    answer = requests.request(method, server.url + path, json={"name": "x"}, timeout=10)
    assert answer.status_code == status
    body = answer.json()
    assert body["error"]["code"] == "NOT_FOUND"
    assert body["detail"] == body["error"]["message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])


def test_a_wrong_field_is_422_and_names_it(server: LiveServer) -> None:
    answer = requests.post(f"{server.url}/api/config", json={"provider": "qwen"}, timeout=10)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"] == {"field": "name", "reason": "required"}
    assert requests.get(f"{server.url}/api/history?limit=0", timeout=10).status_code == 422


@pytest.mark.parametrize(
    ("asked", "provider"),
    [
        ({"model": "demo"}, "demo"),
        ({"model": "qwen-image-plus", "size": "1328*1328"}, "dashscope"),
        ({"provider": "qwen", "model": "qwen-image-plus"}, "dashscope"),
        ({"model": "doubao-seedream-4-0-250828", "width": 1024, "height": 1024}, "ark"),
        ({"provider": "doubao"}, "ark"),
    ],
)
def test_generate(server: LiveServer, asked: dict[str, Any], provider: str) -> None:
    made = call(server, "POST", "/api/generate", prompt="A lighthouse at dusk", seed=7, **asked)
    assert made.keys() >= {"id", "prompt", "image_urls", "timestamp", "model", "parameters", "provider"}
    assert made["prompt"] == "A lighthouse at dusk"
    assert made["provider"] == provider
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["timestamp"])
    picture = requests.get(server.url + made["image_urls"][0], timeout=10)
    assert picture.status_code == 200
    assert picture.headers["Content-Type"].startswith("image/")
    rows = call(server, "GET", "/api/history")
    assert rows["history"][0]["id"] == made["id"]
    assert rows["history"][0]["image_urls"] == made["image_urls"]
    assert requests.delete(f"{server.url}/api/history/{made['id']}", timeout=10).json() == {"success": True}
    assert requests.get(server.url + made["image_urls"][0], timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({"prompt": ""}, 422, "prompt"),
        ({"width": 0}, 422, "width"),
        ({"width": 8193}, 422, "width"),
        ({"width": 1001}, 422, "width"),
        ({"size": "large"}, 422, "size"),
        ({"n": 11}, 422, "n"),
        ({"parameters": {"strength": 1.5}}, 422, "strength"),
        ({"prompt": "x" * 100_000}, 422, "prompt"),
        ({"model": "nobody-has-this"}, 404, None),
        ({"provider": "nobody"}, 404, None),
    ],
)
def test_generate_says_what_is_wrong(server: LiveServer, asked: dict[str, Any], status: int, field: str | None) -> None:
    body = {"prompt": "A lighthouse", "model": "demo"} | asked
    if "provider" in asked:
        body.pop("model")
    answer = requests.post(f"{server.url}/api/generate", json=body, timeout=30)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["details"].get("field") == field


@pytest.mark.parametrize("word", ["FAIL", "HTML", "LOOPBACK", "ERROR200"])
def test_a_provider_that_fails_leaves_a_reason_and_nothing_else(server: LiveServer, word: str) -> None:
    body = {"prompt": f"A lighthouse {word}", "model": "wan2.2-t2i-flash"}
    answer = requests.post(f"{server.url}/api/generate", json=body, timeout=60)
    assert answer.status_code in {400, 422, 502}, answer.text
    assert answer.json()["error"]["message"]
    assert call(server, "GET", "/api/history")["count"] == 0
    assert call(server, "GET", "/api/jobs?status=failed&limit=1")["jobs"][0]["error"]
