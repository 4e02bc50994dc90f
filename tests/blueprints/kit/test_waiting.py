"""Waiting for a job or not, as the caller prefers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient

from backend.app import create_app
from blueprints.kit import waiting
from blueprints.kit.marks import mark
from services.assemble import Services, assemble
from services.settings import Settings
from tests.services.compute.toys import ToyRequest

Login = Callable[..., dict[str, str]]


@pytest.fixture
def services(settings: Settings, services: Services) -> Iterator[Services]:
    """Jobs run beside the request, as they do in service."""
    changed = assemble(settings.model_copy(update={"job_runner": "thread", "sync_wait_seconds": 20}))
    yield changed
    changed.close()


@pytest.fixture
def app(services: Services) -> Flask:
    """The application with one route more, which does the toy that is named."""
    app = create_app(services=services)

    @app.post("/api/toys/<kind>")
    @mark(limit="generation")
    def play() -> Response:
        name, body = f"toys.{request.view_args['kind']}", ToyRequest.model_validate(request.get_json())
        return waiting.answer(name, body, show=lambda result, job: {"id": job.id, "number": result.number})

    return app


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def play(client: FlaskClient, login: Login) -> Callable[..., object]:
    """Do a toy: `play("echo", number=1, prefer="wait=1", key="k")`."""
    headers = login()

    def send(kind: str, prefer: str | None = None, key: str | None = None, **body: object) -> object:
        extra = {"Prefer": prefer, "Idempotency-Key": key}
        sent = headers | {name: value for name, value in extra.items() if value is not None}
        return client.post(f"/api/toys/{kind}", json={k: str(v) for k, v in body.items()}, headers=sent)

    return send


def test_a_route_waits_for_its_answer(play) -> None:
    answer = play("echo", number=4)
    assert answer.status_code == 200
    assert answer.json["number"] == 4
    assert answer.headers["Location"] == f"/api/jobs/{answer.json['id']}"
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=0", "Respond-Async; foo=bar"])
def test_a_caller_need_not_wait(play, gate: Path, prefer: str) -> None:
    answer = play("walk", gate=gate, prefer=prefer)
    assert answer.status_code == 202
    assert answer.json["status"] in {"queued", "running"}
    assert answer.headers["Location"] == f"/api/jobs/{answer.json['task_id']}"
    assert int(answer.headers["Retry-After"]) > 0
    gate.touch()


@pytest.mark.parametrize("prefer", ["wait=-1", "wait=soon", "wait", "handling=strict"])
def test_what_makes_no_sense_is_no_preference(play, prefer: str) -> None:
    answer = play("echo", prefer=prefer)
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


def test_when_the_wait_is_over_the_job_goes_on(play, gate: Path, services: Services) -> None:
    answer = play("walk", gate=gate, prefer="wait=1")
    assert answer.status_code == 202 and answer.headers["Preference-Applied"] == "wait=1"
    gate.touch()
    assert services.jobs.wait(answer.json["task_id"], 20).status == "completed"


def test_a_failed_job_is_the_error_of_the_request(play) -> None:
    answer = play("crash")
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert answer.json["detail"].startswith("The job failed") and "private" not in answer.text


def test_a_key_sent_again_gets_the_same_answer(play) -> None:
    first, second = play("echo", key="k", number=5), play("echo", key="k", number=5)
    assert second.json == first.json and second.status_code == 200
    assert second.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers


def test_a_key_sent_again_while_the_job_runs_is_the_same_job(play, gate: Path) -> None:
    first = play("walk", key="k", gate=gate, prefer="respond-async")
    second = play("walk", key="k", gate=gate, prefer="respond-async")
    assert second.json["task_id"] == first.json["task_id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    gate.touch()


def test_a_key_for_another_body_is_refused(play) -> None:
    play("echo", key="k", number=5)
    answer = play("echo", key="k", number=6)
    assert answer.status_code == 422
    assert answer.json["error"]["details"] == {"field": "Idempotency-Key", "reason": "reused"}


def test_a_job_that_was_canceled_is_a_conflict(play, gate: Path, services: Services) -> None:
    started = play("walk", key="k", gate=gate, prefer="respond-async")
    services.jobs.cancel(started.json["task_id"])
    assert play("walk", key="k", gate=gate).status_code == 409
