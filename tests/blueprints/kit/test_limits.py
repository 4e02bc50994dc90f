"""Rate limits over memory and a real Redis: counted by user and class, told in every answer."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services
from services.contracts.accounts import UserRequest
from services.domains import accounts
from tests.conftest import ADMIN_PASSWORD

HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(params=["memory", "redis"])
def build(request: pytest.FixtureRequest, services: Services) -> Callable[..., Flask]:
    """Make the app over one of the two storages, with settings of the test's choice."""
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else ""

    def make(**changes: Any) -> Flask:
        settings = services.settings.model_copy(update={"redis_url": redis_url, **changes})
        return create_app(services=replace(services, settings=settings))

    return make


def log_in(client: FlaskClient, username: str = "admin") -> dict[str, str]:
    answer = client.post("/api/v1/login", json={"username": username, "password": ADMIN_PASSWORD})
    return {"Authorization": f"Bearer {answer.json['token']}"}


def test_the_last_call_passes_and_the_next_is_429(build: Callable[..., Flask]) -> None:
    client = build(rate_limit_generation="3/minute").test_client()
    headers = log_in(client)
    answers = [client.post("/api/chat/completions", json=HELLO, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert refused.json["error"]["code"] == "TOO_MANY_REQUESTS"
    assert refused.headers["X-RateLimit-Limit"] == "3"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert time.time() - 2 <= int(refused.headers["X-RateLimit-Reset"]) <= time.time() + 61
    assert refused.headers["RateLimit-Policy"] == '"generation";q=3;w=60'
    assert refused.headers["RateLimit"].startswith('"generation";r=0;t=')


def test_classes_are_counted_apart(build: Callable[..., Flask]) -> None:
    client = build(rate_limit_generation="1/minute").test_client()
    headers = log_in(client)
    client.post("/api/chat/completions", json=HELLO, headers=headers)
    assert client.post("/api/chat/stream", json=HELLO, headers=headers).status_code == 429
    assert client.get("/api/auth/me", headers=headers).status_code == 200


def test_users_are_counted_apart(build: Callable[..., Flask], services: Services) -> None:
    client = build(rate_limit_generation="1/minute").test_client()
    accounts.add(UserRequest(username="alice", password=ADMIN_PASSWORD), services=services)
    for name in ("admin", "alice"):
        assert client.post("/api/chat/completions", json=HELLO, headers=log_in(client, name)).status_code == 200


def test_a_wrong_body_counts_too(build: Callable[..., Flask]) -> None:
    client = build(rate_limit_generation="1/minute").test_client()
    headers = log_in(client)
    assert client.post("/api/chat/completions", json={}, headers=headers).status_code == 400
    assert client.post("/api/chat/completions", json=HELLO, headers=headers).status_code == 429


def test_health_is_never_limited(build: Callable[..., Flask]) -> None:
    client = build(rate_limit_default="1/minute", rate_limit_status="1/minute").test_client()
    assert {client.get("/health").status_code for _ in range(5)} == {200}


def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(build: Callable[..., Flask]) -> None:
    plain = build(auth="open", rate_limit_generation="1/minute").test_client()
    forwarded = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in (1, 2)]
    answers = [plain.post("/api/chat/completions", json=HELLO, headers=headers) for headers in forwarded]
    assert [answer.status_code for answer in answers] == [200, 429]
    trusting = build(auth="open", rate_limit_generation="2/minute", trusted_proxies="127.0.0.0/8").test_client()
    answers = [trusting.post("/api/chat/completions", json=HELLO, headers=headers) for headers in forwarded * 2]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "1", "0", "0"]


def test_without_its_redis_a_worker_counts_for_itself(services: Services) -> None:
    gone = services.settings.model_copy(
        update={"redis_url": "redis://127.0.0.1:1/0", "rate_limit_generation": "1/minute"}
    )
    client = create_app(services=replace(services, settings=gone.model_copy(update={"auth": "open"}))).test_client()
    answers = [client.post("/api/chat/completions", json=HELLO) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
