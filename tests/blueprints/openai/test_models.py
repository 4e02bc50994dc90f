"""OpenAI's list of models: what is in it, whose it is, and what a deletion leaves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from services.contracts.training import NewModel
from services.tables.models import TrainedModelTable

Login = Callable[..., dict[str, str]]
Caller = tuple[str, dict[str, str]]


@pytest.fixture
def mary(client: FlaskClient, login: Login) -> Caller:
    """A user who administers nothing: id and headers."""
    user = {"username": "mary", "password": "a-long-password-1", "role": "user"}
    assert client.post("/api/auth/users", json=user, headers=login()).status_code == 200
    headers = login("mary", "a-long-password-1")
    return client.get("/api/auth/me", headers=headers).json["id"], headers


@pytest.fixture
def trained(services: Services, mary: Caller) -> TrainedModelTable:
    """What mary trained."""
    path, location = services.trained.place(mary[0], "models/checkpoints", "sample")
    final = services.settings.models_dir / location / "final"
    final.mkdir()
    (final / "adapter_model.safetensors").write_bytes(b"12345")
    new: dict[str, Any] = {
        "owner": mary[0],
        "name": "sample",
        "kind": "lora",
        "job_id": "job-1",
        "path": f"{path}/final",
        "location": f"{location}/final",
        "engine": "llama_cpp",
        "abilities": ["chat"],
        "base_model": "smollm2-135m-instruct",
        "adapter": True,
        "dataset_name": "poems",
        "dataset_version": 2,
    }
    return services.trained.add(NewModel(**new))


def test_what_was_trained_stands_first_with_its_lineage(
    client: FlaskClient, mary: Caller, trained: TrainedModelTable
) -> None:
    first = client.get("/v1/models", headers=mary[1]).json["data"][0]
    assert first["id"] == trained.openai_name and first["id"].startswith("ft:smollm2-135m-instruct:")
    assert first["parent"] == first["lineage"]["base_model"] == "smollm2-135m-instruct"
    assert (first["lineage"]["dataset_name"], first["lineage"]["dataset_version"]) == ("poems", 2)
    assert (first["capabilities"], first["installed"]) == (["chat"], True)
    assert first["created"] > 1_700_000_000


def test_each_of_its_names_shows_it(client: FlaskClient, mary: Caller, trained: TrainedModelTable) -> None:
    for name in (trained.openai_name, trained.id, "sample", "models/checkpoints/sample/final"):
        assert client.get(f"/v1/models/{name}", headers=mary[1]).json["id"] == trained.openai_name


def test_another_users_is_not_there(
    client: FlaskClient, login: Login, mary: Caller, trained: TrainedModelTable
) -> None:
    other = {"username": "nora", "password": "a-long-password-1", "role": "user"}
    client.post("/api/auth/users", json=other, headers=login())
    headers = login("nora", "a-long-password-1")
    assert trained.openai_name not in client.get("/v1/models", headers=headers).text
    assert client.get(f"/v1/models/{trained.openai_name}", headers=headers).status_code == 404
    assert client.delete(f"/v1/models/{trained.openai_name}", headers=headers).status_code == 404
    assert client.get(f"/v1/models/{trained.openai_name}", headers=login()).status_code == 200


def test_its_owner_deletes_it(
    client: FlaskClient, mary: Caller, trained: TrainedModelTable, services: Services
) -> None:
    place: Path = services.trained.folder(trained)
    answer = client.delete(f"/v1/models/{trained.openai_name}", headers=mary[1])
    assert answer.json == {"id": trained.openai_name, "object": "model", "deleted": True}
    assert not place.exists()
    assert client.get(f"/v1/models/{trained.openai_name}", headers=mary[1]).status_code == 404


def test_what_is_installed_only_an_administrator_deletes(
    client: FlaskClient, login: Login, mary: Caller, services: Services
) -> None:
    folder = services.settings.models_dir / "by-hand"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"GGUF")
    refused = client.delete("/v1/models/by-hand", headers=mary[1])
    assert (refused.status_code, refused.json["error"]["type"]) == (403, "permission_error")
    assert folder.exists()


def test_nothing_is_there_without_a_key(client: FlaskClient) -> None:
    answer = client.get("/v1/models")
    assert answer.status_code == 401
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["qwen-plus", "dashscope/qwen-plus", "qwen/qwen-plus"])
def test_a_name_with_its_provider_is_the_same(client: FlaskClient, login: Login, name: str) -> None:
    shown = client.get(f"/v1/models/{name}", headers=login()).json
    assert (shown["id"], shown["owned_by"], shown["available"]) == ("qwen-plus", "dashscope", False)
