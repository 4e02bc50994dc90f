"""System 5's door of training, with a trainer that takes no time."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from tests.toy_trainer import BASE, put_rows

BODY: dict[str, Any] = {"dataset_path": "/data/facts.jsonl", "config": {"num_epochs": 1}}
Login = Callable[..., dict[str, str]]


@pytest.fixture
def admin(client: FlaskClient, toy_services: Services, login: Login) -> dict[str, str]:
    """Headers of somebody whose service has the toy."""
    return login()


def start(client: FlaskClient, headers: dict[str, str], body: dict[str, Any] | None = None, **more: Any) -> Any:
    return client.post("/api/v1/train", json={**(body or BODY), **more}, headers=headers)


def test_a_start_and_its_status_are_as_documented(client: FlaskClient, admin: dict[str, str]) -> None:
    started = start(client, admin | {"Accept-Language": "zh"})
    assert started.status_code == 200, started.text
    assert (started.json["status"], started.json["message"]) == ("started", "训练任务已启动")
    assert started.headers["Location"] == f"/api/jobs/{started.json['task_id']}"
    assert (started.json["estimate"]["rows"], started.json["warnings"]) == (20, ["这是玩具。"])
    shown = client.get(f"/api/v1/train/status/{started.json['task_id']}", headers=admin).json
    assert (shown["status"], shown["progress"], shown["base_model"]) == ("completed", 100, BASE)
    assert {"train_loss", "learning_rate", "epoch"} <= shown["metrics"].keys()
    assert (shown["metrics"]["epoch"], shown["metrics"]["learning_rate"]) == (1.0, 3e-5)
    assert shown["model"]["path"] == "models/checkpoints/facts/final" and len(shown["history"]) == 10


def test_every_parameter_reaches_the_trainer(client: FlaskClient, admin: dict[str, str], services: Services) -> None:
    config = {"learning_rate": 0.01, "batch_size": 16, "num_epochs": 2, "output_dir": "./models/my_model"}
    lora = {"r": 16, "lora_alpha": 32, "lora_dropout": 0}
    body = BODY | {"config": config | {"quantization": "int8"}, "lora_config": lora, "name": "金融"}
    task_id = start(client, admin, body).json["task_id"]
    request, _ = services.jobs.asked(task_id)
    told = request.model_dump()
    assert told["lora"] == {"r": 16, "lora_alpha": 32, "lora_dropout": 0}
    wanted = {"learning_rate": 0.01, "batch_size": 16, "epochs": 2, "quantization": "int8", "name": "金融"}
    assert told | wanted == told and told["trainer"] == "lora"
    model = client.get(f"/api/v1/train/status/{task_id}", headers=admin).json["model"]
    assert (model["name"], model["path"]) == ("金融", "models/my_model/facts/final")


def test_null_and_nothing_are_the_defaults(client: FlaskClient, admin: dict[str, str], services: Services) -> None:
    body = {"dataset_path": "data/facts.jsonl", "config": None, "lora_config": None, "base_model": None, "unknown": 1}
    request, _ = services.jobs.asked(start(client, admin, body).json["task_id"])
    told = request.model_dump()
    wanted = {"learning_rate": 3e-5, "batch_size": 8, "epochs": 3, "quantization": None, "base_model": BASE}
    assert told | wanted == told
    assert told["lora"] == {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"config": {"num_epochs": 0}}, "config.num_epochs"),
        ({"config": {"num_epochs": 100_000}}, "config.num_epochs"),
        ({"config": {"batch_size": 10_000}}, "config.batch_size"),
        ({"config": {"batch_size": 0}}, "config.batch_size"),
        ({"config": {"learning_rate": 10}}, "config.learning_rate"),
        ({"config": {"learning_rate": 0}}, "config.learning_rate"),
        ({"config": {"learning_rate": "fast"}}, "config.learning_rate"),
        ({"config": {"quantization": "int2"}}, "config.quantization"),
        ({"config": {"output_dir": ""}}, "config.output_dir"),
        ({"config": "much"}, "config"),
        ({"lora_config": {"r": 0}}, "lora_config.r"),
        ({"lora_config": {"r": 1.5}}, "lora_config.r"),
        ({"lora_config": {"lora_alpha": 0}}, "lora_config.lora_alpha"),
        ({"lora_config": {"lora_dropout": 1}}, "lora_config.lora_dropout"),
        ({"dataset_path": ""}, "dataset_path"),
        ({"dataset_path": 5}, "dataset_path"),
        ({"base_model": ["a"]}, "base_model"),
        ({"base_model": "resnet50"}, "base_model"),
        ({"base_model": "stable-diffusion-v1-5"}, "base_model"),
        ({"dataset_path": "/etc/passwd"}, "dataset_path"),
        ({"dataset_path": "../facts"}, "dataset_path"),
        ({"config": {"output_dir": "/etc"}}, "output_dir"),
        ({"config": {"output_dir": "./models/../.."}}, "output_dir"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_field_is_400_and_named(
    client: FlaskClient, admin: dict[str, str], body: dict[str, Any], field: str
) -> None:
    answer = start(client, admin, BODY | body)
    assert answer.status_code == 400, answer.text
    assert (answer.json["error"]["code"], answer.json["error"]["details"]["field"]) == ("INVALID_REQUEST", field)
    assert client.get("/api/training/list", headers=admin).json["count"] == 0


def test_a_missing_data_set_is_400_required(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = client.post("/api/v1/train", json={"config": {}}, headers=admin)
    assert answer.status_code == 400
    assert answer.json["error"]["details"] == {"field": "dataset_path", "reason": "required"}


@pytest.mark.parametrize("sent", [b"", b"{", b"[1]", b"null"], ids=["empty", "broken", "array", "null"])
def test_a_body_that_is_none_is_400(client: FlaskClient, admin: dict[str, str], sent: bytes) -> None:
    answer = client.post("/api/v1/train", data=sent, content_type="application/json", headers=admin)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_REQUEST")


def test_a_base_that_is_not_installed_is_503_with_the_command(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = start(client, admin, base_model="llama-2-7b")
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (503, "model_not_installed")
    assert "flask models pull llama-2-7b" in answer.json["detail"]


@pytest.mark.parametrize("change", [{"base_model": "nobody"}, {"dataset_path": "nothing"}], ids=["model", "data"])
def test_what_nobody_has_is_404(client: FlaskClient, admin: dict[str, str], change: dict[str, str]) -> None:
    assert start(client, admin, **change).status_code == 404


def test_one_row_is_told_before_it_starts(client: FlaskClient, admin: dict[str, str], services: Services) -> None:
    put_rows(services.settings.data_dir, "one", rows=1)
    answer = start(client, admin, dataset_path="data/one.jsonl")
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (400, "too_few_rows")


def test_an_idempotency_key_starts_one_training(client: FlaskClient, admin: dict[str, str], services: Services) -> None:
    headers = admin | {"Idempotency-Key": "one"}
    first = start(client, headers)
    (services.settings.data_dir / "facts.jsonl").unlink()
    second = start(client, headers)
    assert second.json["task_id"] == first.json["task_id"]
    assert second.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
    other = start(client, headers, name="other")
    assert (other.status_code, other.json["error"]["details"]["reason"]) == (400, "reused")
    assert client.get("/api/training/list", headers=admin).json["count"] == 1


def test_starts_are_limited_and_the_rest_is_not(client: FlaskClient, admin: dict[str, str]) -> None:
    doors = [
        "/api/v1/train",
        "/api/training/start",
        "/api/llm-finetuning/lora/start",
        "/api/llm-finetuning/qlora/start",
    ]
    for number in range(10):
        assert client.post(doors[number % 4], json={}, headers=admin).status_code in {400, 422}
    refused = [client.post(door, json=BODY, headers=admin) for door in doors]
    assert {answer.status_code for answer in refused} == {429}
    assert refused[0].json["error"]["code"] == "TOO_MANY_REQUESTS" and int(refused[0].headers["Retry-After"]) > 3000
    assert refused[0].headers["X-RateLimit-Limit"] == "10"
    assert client.post("/api/v1/train/cancel/x", headers=admin).status_code == 404
    assert client.post("/api/training/stop/x", headers=admin).status_code == 404


def test_nobody_trains_without_a_token(client: FlaskClient) -> None:
    assert client.post("/api/v1/train", json=BODY).status_code == 401
    assert client.get("/api/v1/train/status/x").status_code == 401
    assert client.post("/api/v1/train/cancel/x").status_code == 401


def test_a_training_that_has_ended_cannot_be_canceled(client: FlaskClient, admin: dict[str, str]) -> None:
    task_id = start(client, admin).json["task_id"]
    answer = client.post(f"/api/v1/train/cancel/{task_id}", headers=admin)
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (409, "completed")


def test_a_failed_training_says_why(client: FlaskClient, admin: dict[str, str]) -> None:
    task_id = start(client, admin, description='{"diverge": 3}').json["task_id"]
    shown = client.get(f"/api/v1/train/status/{task_id}", headers=admin | {"Accept-Language": "zh"}).json
    assert (shown["status"], shown["error"]["details"]["reason"]) == ("failed", "diverged")
    assert (shown["error"]["message"], shown["metrics"]["epoch"]) == ("损失为 NaN。", 0.2)
