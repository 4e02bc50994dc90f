"""System 3's doors of fine-tuning, with a trainer that takes no time."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from services.contracts.models import PullRequest
from tests.toy_trainer import BASE

BODY: dict[str, Any] = {"base_model": BASE, "dataset_path": "data/facts.jsonl", "epochs": 1}
LORA, QLORA = "/api/llm-finetuning/lora/start", "/api/llm-finetuning/qlora/start"
Login = Callable[..., dict[str, str]]


@pytest.fixture
def admin(client: FlaskClient, toy_services: Services, login: Login) -> dict[str, str]:
    return login()


@pytest.mark.parametrize(("door", "quantization"), [(LORA, None), (QLORA, "int4")], ids=["lora", "qlora"])
def test_every_parameter_reaches_the_trainer(
    client: FlaskClient, admin: dict[str, str], services: Services, door: str, quantization: str | None
) -> None:
    told: dict[str, Any] = {"batch_size": 2, "learning_rate": 0.5, "max_length": 64, "gradient_accumulation_steps": 3}
    shape = {"lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.5}
    answer = client.post(door, json=BODY | told | shape, headers=admin)
    assert answer.status_code == 200, answer.text
    assert (answer.json["status"], answer.json["position"]) == ("started", None)
    asked = services.jobs.asked(answer.json["task_id"])[0].model_dump()
    assert asked | told | {"quantization": quantization, "trainer": "lora"} == asked
    assert asked["lora"] == {"r": 4, "lora_alpha": 8, "lora_dropout": 0.5}


def test_the_general_door_takes_the_same_parameters(
    client: FlaskClient, admin: dict[str, str], services: Services
) -> None:
    shape = {"lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.5}
    for kind, held in (("lora", None), ("qlora", "int4"), ("LLM", "int8")):
        body = BODY | shape | {"model_type": kind} | ({"quantization": held} if held == "int8" else {})
        answer = client.post("/api/training/start", json=body, headers=admin)
        asked = services.jobs.asked(answer.json["task_id"])[0].model_dump()
        assert (asked["trainer"], asked["quantization"], asked["lora"]["r"]) == ("lora", held, 4)
    unknown = client.post("/api/training/start", json=BODY | {"model_type": "gan"}, headers=admin)
    assert (unknown.status_code, unknown.json["error"]["details"]["field"]) == (422, "model_type")


def test_defaults_are_those_of_the_document(client: FlaskClient, admin: dict[str, str], services: Services) -> None:
    body = {"base_model": BASE, "dataset_path": "data/facts.jsonl"}
    asked = services.jobs.asked(client.post(LORA, json=body, headers=admin).json["task_id"])[0].model_dump()
    shown = {"epochs": 3, "batch_size": 4, "learning_rate": 0.0002, "max_length": 512}
    assert asked | shown | {"gradient_accumulation_steps": 4, "output_dir": "/models/lora_adapter"} == asked
    assert asked["lora"] == {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lora_r": 0}, "lora_r"),
        ({"lora_r": 1000}, "lora_r"),
        ({"lora_alpha": -1}, "lora_alpha"),
        ({"lora_dropout": 1.0}, "lora_dropout"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 10_000}, "batch_size"),
        ({"learning_rate": 10}, "learning_rate"),
        ({"learning_rate": None}, "learning_rate"),
        ({"max_length": 1}, "max_length"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps"),
        ({"save_steps": 0}, "save_steps"),
        ({"seed": -1}, "seed"),
        ({"name": ""}, "name"),
        ({"base_model": ""}, "base_model"),
        ({"base_model": "efficientnet-lite0"}, "base_model"),
        ({"dataset_version": 0}, "dataset_version"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_field_is_422_and_named(
    client: FlaskClient, admin: dict[str, str], body: dict[str, Any], field: str
) -> None:
    answer = client.post(LORA, json=BODY | body, headers=admin)
    assert answer.status_code == 422, answer.text
    assert (answer.json["error"]["code"], answer.json["error"]["details"]["field"]) == ("VALIDATION_ERROR", field)


@pytest.mark.parametrize("field", ["base_model", "dataset_path"])
def test_what_is_missing_is_required(client: FlaskClient, admin: dict[str, str], field: str) -> None:
    answer = client.post(QLORA, json={name: value for name, value in BODY.items() if name != field}, headers=admin)
    assert answer.status_code == 422
    assert answer.json["error"]["details"] == {"field": field, "reason": "required"}


def test_a_path_outside_is_400(client: FlaskClient, admin: dict[str, str]) -> None:
    for change in ({"output_dir": "/etc"}, {"output_dir": "/models/../x"}, {"dataset_path": "/etc/passwd"}):
        answer = client.post(LORA, json=BODY | change, headers=admin)
        assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (400, "path_forbidden")


def test_the_document_s_base_is_not_installed(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = client.post(LORA, json=BODY | {"base_model": "llama-2-7b"}, headers=admin)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.json["error"]["details"]["command"] == "flask models pull llama-2-7b"


def test_a_job_started_here_is_read_at_every_door(client: FlaskClient, admin: dict[str, str]) -> None:
    task_id = client.post(LORA, json=BODY, headers=admin).json["task_id"]
    here, there, third = (
        client.get(f"{path}/{task_id}", headers=admin).json
        for path in ("/api/llm-finetuning/status", "/api/training/status", "/api/v1/train/status")
    )
    assert here == there and here["task_id"] == third["task_id"] == task_id
    assert (here["status"], here["progress"], here["current_epoch"], here["total_epochs"]) == ("completed", 100, 1, 1)
    assert (here["current_step"], here["total_steps"], here["learning_rate"]) == (10, 10, 0.0002)
    assert here["loss"] == pytest.approx(0.99**10) == third["metrics"]["train_loss"]
    assert [row["task_id"] for row in client.get("/api/training/list", headers=admin).json["tasks"]] == [task_id]
    job = client.get(f"/api/jobs/{task_id}", headers=admin).json
    assert (job["kind"], job["result"]["path"]) == ("training.train", "models/lora_adapter/facts/final")


def test_a_job_of_another_kind_is_no_training(client: FlaskClient, admin: dict[str, str], services: Services) -> None:
    job = services.jobs.submit("models.pull", PullRequest(model="nobody"), owner="somebody")
    for method, path in (("GET", "status"), ("POST", "stop")):
        assert client.open(f"/api/llm-finetuning/{path}/{job.id}", method=method, headers=admin).status_code == 404
