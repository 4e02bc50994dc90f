"""The onion of the web application: ids, headers, errors, documents, metrics."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services
from services.database import open_database

Login = Callable[..., dict[str, str]]


@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/openapi.json", "/docs"])
def test_public_routes_need_no_token(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "Content-Security-Policy" in answer.headers
    assert answer.headers["X-Request-ID"].startswith("req-")


@pytest.mark.parametrize("path", ["/api/status", "/metrics", "/api/models", "/api/usage", "/api/auth/me"])
def test_all_others_need_one(client: FlaskClient, login: Login, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.get(path, headers=login()).status_code == 200


def test_an_unknown_path_is_404_without_a_token(client: FlaskClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.json["error"] == {
        "code": "NOT_FOUND",
        "message": "There is nothing at this address.",
        "details": {},
        "type": "not_found_error",
        "param": None,
    }


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("zh-CN,zh;q=0.9", "接口不存在。"),
        ("en-US", "There is nothing at this address."),
        ("fr", "There is nothing at this address."),
    ],
)
def test_messages_come_in_the_callers_language(client: FlaskClient, wanted: str, words: str) -> None:
    assert client.get("/nothing", headers={"Accept-Language": wanted}).json["detail"] == words


def test_without_a_language_the_default_is_spoken(services: Services) -> None:
    chinese = services.settings.model_copy(update={"default_language": "zh"})
    client = create_app(services=replace(services, settings=chinese)).test_client()
    assert client.get("/nothing").json["detail"] == "接口不存在。"


def test_a_fault_of_ours_shows_nothing(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("/home/me/secret sk-abcdefgh12345678")

    app.add_url_rule("/fault", view_func=fail)
    app.view_functions["fail"].__dict__["marks"] = app.view_functions["system.alive"].marks  # type: ignore[attr-defined]
    answer = app.test_client().get("/fault")
    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "INTERNAL_ERROR"
    assert "secret" not in answer.text and "sk-" not in answer.text and "Traceback" not in answer.text


def test_origins_are_allowed_as_set(services: Services) -> None:
    one = services.settings.model_copy(update={"allowed_origins": "https://ours.example"})
    one.__dict__.pop("origins", None)
    client = create_app(services=replace(services, settings=one)).test_client()
    ours = client.get("/healthz", headers={"Origin": "https://ours.example"})
    assert ours.headers["Access-Control-Allow-Origin"] == "https://ours.example"
    assert "X-Request-ID" in ours.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in ours.headers
    assert "Access-Control-Allow-Origin" not in client.get("/healthz", headers={"Origin": "https://x.example"}).headers


def test_health_names_what_fails(services: Services) -> None:
    class Broken:
        def ping(self) -> None:
            raise OSError("no route to db.internal")

    broken = replace(services, database=Broken())  # type: ignore[arg-type]
    answer = create_app(services=broken).test_client().get("/health")
    assert answer.status_code == 503
    assert answer.json["checks"]["database"] == "failed: OSError"
    assert answer.json["checks"]["disk"] == "ok"


def test_a_database_that_is_away_is_503(services: Services) -> None:
    away = replace(services, database=open_database("sqlite:////nowhere/at/all.db"))
    body = {"username": "admin", "password": "x"}
    answer = create_app(services=away).test_client().post("/api/v1/login", json=body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json["error"]["details"] == {"reason": "database"}
    assert "nowhere" not in answer.text


def test_a_wrong_statement_is_a_fault_of_ours(services: Services, tmp_path: Path) -> None:
    empty = replace(services, database=open_database(f"sqlite:///{tmp_path}/empty.db"))
    body = {"username": "admin", "password": "x"}
    assert create_app(services=empty).test_client().post("/api/v1/login", json=body).status_code == 500


def test_metrics_count_requests_and_tokens(client: FlaskClient, login: Login, services: Services) -> None:
    headers = login()
    asked = {"model": "demo", "messages": [{"role": "user", "content": "a b"}]}
    # As a server closes an answer when it is sent.
    client.post("/api/chat/completions", json=asked, headers=headers).close()
    services.usage.flush()
    text = client.get("/metrics", headers=headers).text
    assert 'polymath_http_requests_total{method="POST",route="/api/chat/completions",status="200"}' in text
    assert 'polymath_chat_tokens_total{kind="prompt",model="demo",provider="demo"}' in text
    assert "polymath_http_request_seconds_bucket" in text


def test_the_document_is_openapi_and_names_every_route(app: Flask, client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "/api/chat/completions" in document["paths"]
    assert "422" not in document["paths"]["/api/chat/completions"]["post"]["responses"]
    assert document["paths"]["/health"]["get"]["security"] == []


def test_the_page_that_shows_it_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs").text
    assert "//" not in page.replace("<!--", "")
    for path in ("/docs/page.js", "/docs/assets/js/swagger-ui-bundle.js", "/docs/assets/css/swagger-ui.css"):
        assert path in page
        assert client.get(path).status_code == 200


def test_a_status_shows_no_secrets(client: FlaskClient, login: Login) -> None:
    answer = client.get("/api/status", headers=login())
    assert {"version", "uptime_seconds", "providers", "jobs", "device", "disk"} <= answer.json.keys()
    assert "/" not in str(answer.json["disk"])
