"""Errors, retries and limits in the words of OpenAI's and of Anthropic's packages."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from blueprints.kit import dialects
from blueprints.kit.marks import Marks
from services.errors import Conflict, Denied, Invalid, NotFound, ServiceError, TooMany, Unavailable, UpstreamFailed

PLAIN = "words"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0s"), (1, "1s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (3725, "1h2m5s")]
)
def test_durations_are_written_as_go_does(seconds: int, told: str) -> None:
    assert dialects.duration(seconds) == told


CASES: list[tuple[ServiceError, int, str, str, str | None]] = [
    (Invalid("n", PLAIN, PLAIN), 400, "invalid_value", "invalid_request_error", None),
    (Invalid("n", PLAIN, PLAIN, reason="required"), 400, "missing_required_parameter", "invalid_request_error", None),
    (Invalid("n", PLAIN, PLAIN, reason="unsupported"), 400, "unsupported_parameter", "invalid_request_error", None),
    (Denied(PLAIN, PLAIN), 403, "forbidden", "permission_error", None),
    (NotFound(PLAIN, PLAIN), 404, "not_found", "not_found_error", None),
    (NotFound(PLAIN, PLAIN, details={"code": "own"}), 404, "own", "not_found_error", None),
    (Conflict(PLAIN, PLAIN), 409, "conflict", "invalid_request_error", "false"),
    (Conflict(PLAIN, PLAIN, details={"reason": "in_progress"}), 409, "conflict", "invalid_request_error", None),
    (TooMany(PLAIN, PLAIN, retry_after_seconds=3), 429, "rate_limit_exceeded", "rate_limit_error", None),
    (UpstreamFailed(PLAIN, PLAIN), 502, "upstream_error", "server_error", None),
    (UpstreamFailed(PLAIN, PLAIN, kind="quota"), 502, "insufficient_quota", "server_error", "false"),
    (UpstreamFailed(PLAIN, PLAIN, kind="auth"), 502, "upstream_error", "server_error", "false"),
    (Unavailable(PLAIN, PLAIN), 503, "service_unavailable", "server_error", None),
    (Unavailable(PLAIN, PLAIN, details={"reason": "model_loading"}), 503, "model_loading", "server_error", None),
    (
        Unavailable(PLAIN, PLAIN, details={"reason": "model_not_installed"}),
        503,
        "model_not_installed",
        "server_error",
        "false",
    ),
]


def raising(app: Flask, path: str, error: ServiceError) -> FlaskClient:
    """A client of *app*, whose *path* raises *error*."""

    def fail() -> Any:
        raise error

    fail.__dict__["marks"] = Marks(public=True)
    app.add_url_rule(path, path, fail)
    return app.test_client()


@pytest.mark.parametrize(("error", "status", "code", "kind", "retry"), CASES)
def test_errors_under_v1(app: Flask, error: ServiceError, status: int, code: str, kind: str, retry: str | None) -> None:
    answer = raising(app, "/v1/fails", error).get("/v1/fails")
    told = answer.json["error"]
    assert (answer.status_code, told["code"], told["type"]) == (status, code, kind)
    assert told["param"] == error.details.get("field")
    assert answer.headers.get("x-should-retry") == retry
    assert answer.headers["request-id"] == answer.headers["X-Request-ID"] == answer.json["request_id"]


@pytest.mark.parametrize(("error", "status", "code", "kind", "retry"), CASES)
def test_other_routes_keep_their_own_words(
    app: Flask, error: ServiceError, status: int, code: str, kind: str, retry: str | None
) -> None:
    answer = raising(app, "/api/fails", error).get("/api/fails")
    assert answer.json["error"]["code"] == error.details.get("code") or answer.json["error"]["code"].isupper()
    assert "x-should-retry" not in answer.headers
    assert "request-id" not in {name for name, _ in answer.headers}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Invalid("n", PLAIN, PLAIN), "invalid_request_error"),
        (Denied(PLAIN, PLAIN), "permission_error"),
        (NotFound(PLAIN, PLAIN), "not_found_error"),
        (Conflict(PLAIN, PLAIN), "conflict_error"),
        (TooMany(PLAIN, PLAIN, retry_after_seconds=3), "rate_limit_error"),
        (UpstreamFailed(PLAIN, PLAIN), "api_error"),
        (Unavailable(PLAIN, PLAIN), "overloaded_error"),
        (Unavailable(PLAIN, PLAIN, details={"reason": "model_not_installed"}), "api_error"),
    ],
)
def test_errors_of_messages(app: Flask, error: ServiceError, kind: str) -> None:
    answer = raising(app, "/v1/messages/fails", error).get("/v1/messages/fails")
    assert set(answer.json) == {"type", "error", "request_id"}
    assert (answer.json["type"], answer.json["error"]["type"]) == ("error", kind)


def test_messages_alone_speak_so(app: Flask) -> None:
    with app.test_request_context("/v1/messages"):
        assert dialects.is_anthropic()
    with app.test_request_context("/v1/messages_of_mine"):
        assert not dialects.is_anthropic()
    assert not dialects.is_openai()
