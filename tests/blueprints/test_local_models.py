"""The models with a local path: whose they are, in which order, what a card says, the zip, and their end."""

import io
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from services.contracts.accounts import UserRequest
from services.contracts.training import NewModel
from services.domains import accounts
from services.tables.models import TrainedModelTable
from tests.toy_trainer import BASE, put_base

URL = "/api/v1/models"
Headers = dict[str, str]
LISTED = {"id", "name", "path", "base_model", "created_at", "size_mb", "description"}


def user(services: Services, name: str) -> str:
    """A user called *name*, whose password is the name thrice; their id."""
    found = accounts.add(UserRequest(username=name, password=name * 3), services=services)
    return found.id


@pytest.fixture
def lin(services: Services, login: Callable[..., Headers]) -> tuple[str, Headers]:
    return user(services, "lin-user"), login("lin-user", "lin-user" * 3)


def add(services: Services, owner: str, name: str = "sample", **more: Any) -> TrainedModelTable:
    """A model of *owner*, with a file of five bytes and a folder in it."""
    path, location = services.trained.place(owner, "models/checkpoints", name)
    final = services.settings.models_dir / location / "final"
    (final / "deep").mkdir(parents=True)
    (final / "adapter_model.safetensors").write_bytes(b"12345")
    (final / "deep" / "training.json").write_text("{}")
    facts: dict[str, Any] = {
        "kind": "lora",
        "engine": "transformers_text",
        "abilities": ["chat"],
        "base_model": BASE,
        "base_revision": "rev1",
        "adapter": True,
        "dataset_id": "dataset-1",
        "dataset_name": "facts",
        "dataset_version": 2,
        "training_config": {"learning_rate": 3e-5, "lora_r": 8},
        "metrics": {"val_loss": 2.12},
    }
    new = {"owner": owner, "name": name, "job_id": f"job-{location}"} | facts | more
    return services.trained.add(NewModel(path=f"{path}/final", location=f"{location}/final", **new))


def test_the_list_has_what_the_caller_made_and_what_is_installed(
    client: FlaskClient, services: Services, lin: tuple[str, Headers], login: Callable[..., Headers]
) -> None:
    put_base(services.settings.models_dir)
    made, others = add(services, lin[0]), add(services, user(services, "mo-user"))
    told = client.get(URL, headers=lin[1]).json
    assert [row["id"] for row in told["models"]] == [made.id, BASE]
    assert told["count"] == 2 and told["timestamp"].endswith("Z") and told["next"] is None
    row = told["models"][0]
    assert row.keys() == LISTED and row["path"] == "models/checkpoints/sample/final" and row["base_model"] == BASE
    assert datetime.fromisoformat(row["created_at"]) and "." not in row["created_at"]
    assert {row["id"] for row in client.get(URL, headers=login()).json["models"]} == {made.id, others.id, BASE}


def test_the_list_comes_in_pages(client: FlaskClient, services: Services, lin: tuple[str, Headers]) -> None:
    made = [add(services, lin[0], f"sample-{number}").id for number in range(3)]
    first = client.get(f"{URL}?limit=2", headers=lin[1]).json
    assert (len(first["models"]), first["count"], first["next"]) == (2, 3, first["models"][1]["id"])
    rest = client.get(f"{URL}?limit=2&after={first['next']}", headers=lin[1]).json
    assert {row["id"] for row in first["models"] + rest["models"]} == set(made) and rest["next"] is None
    wrong = client.get(f"{URL}?after=nothing", headers=lin[1])
    assert (wrong.status_code, wrong.json["error"]["details"]["field"]) == (400, "after")
    assert client.get(f"{URL}?limit=0", headers=lin[1]).status_code == 400


def test_a_card_tells_all_that_is_known(client: FlaskClient, services: Services, lin: tuple[str, Headers]) -> None:
    made = add(services, lin[0])
    services.trained.note_use(made.id)
    services.trained.change(made.id, parity={"passed": True}, evaluation={"better": "tuned"})
    card = client.get(f"{URL}/{made.id}", headers=lin[1]).json
    assert LISTED | {"training_config", "metrics", "last_used", "usage_count"} <= card.keys()
    assert (card["usage_count"], card["base_revision"], card["dataset_version"]) == (1, "rev1", 2)
    assert (card["parity"], card["evaluation"]) == ({"passed": True}, {"better": "tuned"})
    assert card["training_config"] == {"learning_rate": 3e-5, "lora_r": 8} and card["last_used"].endswith("Z")
    assert client.get(f"{URL}/{made.openai_name}", headers=lin[1]).json["id"] == made.id


def test_an_installed_model_has_a_card(client: FlaskClient, services: Services, lin: tuple[str, Headers]) -> None:
    put_base(services.settings.models_dir)
    card = client.get(f"{URL}/{BASE}", headers=lin[1]).json
    assert (card["path"], card["kind"], card["base_revision"]) == (f"models/{BASE}", "installed", "1")
    assert (card["training_config"], card["last_used"], card["usage_count"]) == ({}, None, 0)


def test_another_users_model_is_not_there(client: FlaskClient, services: Services, lin: tuple[str, Headers]) -> None:
    others = add(services, user(services, "mo-user"))
    for answer in (
        client.get(f"{URL}/{others.id}", headers=lin[1]),
        client.get(f"{URL}/{others.id}/download", headers=lin[1]),
        client.delete(f"{URL}/{others.id}", headers=lin[1]),
        client.get(f"{URL}/..%2F..%2Fetc", headers=lin[1]),
        client.get(f"{URL}/%00", headers=lin[1]),
    ):
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "NOT_FOUND")
    assert services.trained.folder(others).is_dir()
    assert client.get(URL).status_code == 401


def test_a_model_goes_with_its_files(client: FlaskClient, services: Services, lin: tuple[str, Headers]) -> None:
    made = add(services, lin[0])
    answer = client.delete(f"{URL}/{made.id}", headers=lin[1])
    assert (answer.status_code, answer.json) == (200, {"success": True})
    assert not services.trained.folder(made).parent.exists()
    assert client.get(f"{URL}/{made.id}", headers=lin[1]).status_code == 404


def test_what_was_merged_into_the_folder_of_a_run_outlives_it(
    client: FlaskClient, services: Services, lin: tuple[str, Headers]
) -> None:
    made = add(services, lin[0])
    inside = services.trained.folder(made).parent / "merged"
    inside.mkdir()
    location = str(inside.relative_to(services.settings.models_dir))
    facts = {"kind": "merged", "engine": "transformers_text", "abilities": ["chat"], "base_model": BASE}
    new = NewModel(owner=lin[0], name="m", job_id="m", path="models/m", location=location, **facts)  # type: ignore[arg-type]
    merged = services.trained.add(new)
    assert client.delete(f"{URL}/{made.id}", headers=lin[1]).status_code == 200
    assert inside.is_dir() and not services.trained.folder(made).exists()
    assert client.delete(f"{URL}/{merged.id}", headers=lin[1]).status_code == 200
    assert not inside.exists()


def test_only_an_administrator_removes_what_is_installed(
    client: FlaskClient, services: Services, lin: tuple[str, Headers], login: Callable[..., Headers]
) -> None:
    put_base(services.settings.models_dir)
    assert client.delete(f"{URL}/{BASE}", headers=lin[1]).status_code == 403
    assert client.delete(f"{URL}/{BASE}", headers=login()).json == {"success": True}
    assert not (services.settings.models_dir / BASE).exists()
    assert client.delete(f"{URL}/{BASE}", headers=login()).status_code == 404


def test_a_download_is_a_zip_of_the_files(client: FlaskClient, services: Services, lin: tuple[str, Headers]) -> None:
    made = add(services, lin[0])
    (services.trained.folder(made) / "link").symlink_to("/etc/hostname")
    answer = client.get(f"{URL}/{made.id}/download", headers=lin[1])
    assert (answer.mimetype, answer.headers["Cache-Control"]) == ("application/zip", "private")
    assert f"{made.id}.zip" in answer.headers["Content-Disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    assert archive.namelist() == ["adapter_model.safetensors", "deep/training.json"]
    assert archive.read("adapter_model.safetensors") == b"12345"
