"""The list of models, and pulling one through the client."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services
from services.catalog import Catalog
from services.contracts.models import CatalogRow
from tests.fakes.hub import HubFake

Login = Callable[..., dict[str, str]]
TINY = CatalogRow.model_validate(
    {
        "id": "tiny-chat",
        "name": "Tiny",
        "abilities": ["chat"],
        "licence": "MIT",
        "engine": "llama_cpp",
        "sources": [{"hub": "maker/tiny"}],
    }
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubFake]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubFake() as fake:
        fake.files = {"tiny.gguf": b"GGUF" * 1000}
        yield fake


@pytest.fixture
def services(services: Services, hub: HubFake) -> Services:
    """The services with one more model, whose weights lie on a hub of our own."""
    settings = services.settings.model_copy(update={"hub_url": hub.url()})
    changed = replace(services, settings=settings, catalog=Catalog(settings, more_rows=lambda: [TINY]))
    changed.jobs.bind(changed)
    return changed


def by_id(client: FlaskClient, headers: dict[str, str]) -> dict[str, dict[str, object]]:
    return {model["id"]: model for model in client.get("/api/models", headers=headers).json["models"]}


def test_system_4s_row_is_as_its_document_has_it(client: FlaskClient, login: Login) -> None:
    first = client.get("/api/models", headers=login()).json["models"][0]
    assert (
        first.items()
        >= {
            "id": "qwen-turbo",
            "name": "通义千问-Turbo",
            "description": "快速响应，适合日常对话",
            "provider": "Alibaba",
            "maxTokens": 6000,
        }.items()
    )


def test_only_what_chats_is_listed(client: FlaskClient, login: Login) -> None:
    models = by_id(client, login())
    assert {"demo", "smollm2-135m-instruct", "qwen-max-longcontext"} <= models.keys()
    assert "whisper-base" not in models
    assert all(isinstance(model["maxTokens"], int) and model["maxTokens"] > 0 for model in models.values())
    assert models["demo"]["available"] and not models["qwen-plus"]["available"]


def test_pull(client: FlaskClient, login: Login, services: Services) -> None:
    headers = login()
    assert not by_id(client, headers)["tiny-chat"]["installed"]
    answer = client.post("/api/models/pull", json={"model": "tiny-chat"}, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/jobs/{answer.json['task_id']}"
    job = services.jobs.wait(answer.json["task_id"], 20)
    assert (job.status, job.progress) == ("completed", 100)
    assert job.result["files"] == ["tiny.gguf"]
    assert by_id(client, headers)["tiny-chat"]["installed"]


def test_a_pull_that_fails_says_why(client: FlaskClient, login: Login, services: Services, hub: HubFake) -> None:
    hub.token = "hf-secret"
    answer = client.post("/api/models/pull", json={"model": "tiny-chat"}, headers=login())
    job = services.jobs.wait(answer.json["task_id"], 20)
    assert job.status == "failed"
    assert "HUB_TOKEN" in str(job.error)


def test_the_same_key_starts_one_pull(client: FlaskClient, login: Login) -> None:
    headers = login() | {"Idempotency-Key": "k1"}
    first = client.post("/api/models/pull", json={"model": "tiny-chat"}, headers=headers)
    again = client.post("/api/models/pull", json={"model": "tiny-chat"}, headers=headers)
    assert again.json["task_id"] == first.json["task_id"]
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"model": "nobody-has-this"}, 404, "model_not_found"),
        ({"model": "../../etc/passwd"}, 404, "model_not_found"),
        ({"model": "qwen-turbo"}, 422, "nothing_to_pull"),
        ({"model": ""}, 422, "required"),
        ({}, 422, "required"),
        ({"model": "x" * 129}, 422, "string_too_long"),
    ],
)
def test_what_cannot_be_pulled(
    client: FlaskClient, login: Login, body: dict[str, str], status: int, reason: str
) -> None:
    answer = client.post("/api/models/pull", json=body, headers=login())
    assert answer.status_code == status
    assert answer.json["error"]["details"]["reason"] == reason


def test_pulling_is_an_administrators_affair(client: FlaskClient, login: Login, open_client: FlaskClient) -> None:
    client.post("/api/auth/users", json={"username": "lin", "password": "a-long-password"}, headers=login())
    headers = login("lin", "a-long-password")
    assert client.post("/api/models/pull", json={"model": "tiny-chat"}, headers=headers).status_code == 403
    assert client.post("/api/models/pull", json={"model": "tiny-chat"}).status_code == 401
    assert open_client.post("/api/models/pull", json={"model": "tiny-chat"}).status_code in {401, 403}


def test_the_app_is_made_with_these_services(services: Services) -> None:
    assert create_app(services=services).extensions["services"].catalog.find("tiny-chat") is TINY
