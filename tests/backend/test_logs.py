"""Log lines: one a request, with what is needed to find it, and never a secret."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.logs import redact, set_up_logs
from services.assemble import Services
from services.settings import Settings

Login = Callable[..., dict[str, str]]


@pytest.fixture
def log_file(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.log_file = tmp_path / "logs" / "service.log"
    yield settings.log_file
    set_up_logs(settings.model_copy(update={"log_file": None}))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_is_one_line(log_file: Path, services: Services, client: FlaskClient, login: Login) -> None:
    headers = login() | {"X-Request-ID": "my-request"}
    client.get("/api/auth/me", headers=headers).close()
    line = next(line for line in lines(log_file) if line.get("request_id") == "my-request")
    assert line["user"] == "admin"
    assert line["method"] == "GET"
    assert line["route"] == "/api/auth/me"
    assert line["status"] == 200
    assert isinstance(line["ms"], float)
    assert line["level"] == "INFO"


def test_a_stream_is_logged_when_it_ends(log_file: Path, client: FlaskClient, login: Login) -> None:
    headers = login() | {"X-Request-ID": "my-stream"}
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    client.post("/api/chat/stream", json=body, headers=headers).close()
    assert [line["status"] for line in lines(log_file) if line.get("request_id") == "my-stream"] == [200]


def test_tokens_and_passwords_reach_no_line(log_file: Path, client: FlaskClient, login: Login) -> None:
    headers = login()
    token = headers["Authorization"].removeprefix("Bearer ")
    client.get("/api/auth/me", headers=headers).close()
    client.get(f"/nothing?token={token}").close()
    logging.getLogger("anything").error("failed with %s", headers)
    text = log_file.read_text()
    assert token not in text
    assert "correct-horse" not in text


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef.ghijkl",
        "key sk-abcdefghijkl",
        "key sk-ant-abcdefghijkl",
        "postgresql://user:password@db.internal/x",
        "token eyJhbGciOiJIUzI1NiJ9.e30.x",
    ],
)
def test_redact_takes_out_what_looks_like_a_secret(text: str) -> None:
    cleaned = redact(text)
    assert "[secret]" in cleaned
    for secret in ("abcdef", "password@", "eyJhbGci"):
        assert secret not in cleaned


def test_an_error_says_where_in_json(log_file: Path, settings: Settings) -> None:
    set_up_logs(settings)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("anything").exception("it failed")
    line = lines(log_file)[-1]
    assert line["message"] == "it failed"
    assert "ValueError: broken" in str(line["exception"])
