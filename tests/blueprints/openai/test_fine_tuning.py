"""OpenAI's fine-tuning over HTTP, with a trainer that takes no time: every state, every wrong request."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services, assemble
from services.contracts.accounts import UserRequest
from services.domains import accounts
from services.settings import Settings
from tests.live import wait_for
from tests.toy_trainer import BASE

Login = Callable[..., dict[str, str]]
JOBS = "/v1/fine_tuning/jobs"
LINES = b"".join(json.dumps({"instruction": f"q{n}", "output": f"a{n}"}).encode() + b"\n" for n in range(20))


@pytest.fixture
def services(settings: Settings, services: Services) -> Iterator[Services]:
    """Jobs run beside the request, as they do in service."""
    changed = assemble(settings.model_copy(update={"job_runner": "thread", "sync_wait_seconds": 30}))
    yield changed
    changed.close()


@pytest.fixture
def app(toy_services: Services) -> Flask:
    return create_app(services=toy_services)


class Caller:
    """A user with a file to train with."""

    def __init__(self, client: FlaskClient, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers
        self.file = self.upload()

    def upload(self, data: bytes = LINES, name: str = "train.jsonl", purpose: str = "fine-tune") -> str:
        form = {"file": (io.BytesIO(data), name), "purpose": purpose}
        return str(self.client.post("/v1/files", data=form, headers=self.headers).json["id"])

    def create(self, headers: dict[str, str] | None = None, **body: Any) -> Any:
        told = {"model": BASE, "training_file": self.file, **body}
        return self.client.post(JOBS, json=told, headers=self.headers | (headers or {}))

    def get(self, path: str) -> Any:
        return self.client.get(JOBS + path, headers=self.headers)

    def post(self, path: str) -> Any:
        return self.client.post(JOBS + path, headers=self.headers)

    def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        wait_for(lambda: self.get(f"/{job_id}").json["status"] in statuses, what=f"the training to be {statuses}")
        return dict(self.get(f"/{job_id}").json)

    def waiting(self, tmp_path: Path, **more: Any) -> str:
        """A training that waits in step 8 for the file `gate`."""
        plan = {"wait": 8, "gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")}
        job_id = self.create(description=json.dumps(plan), hyperparameters={"n_epochs": 1}, **more).json["id"]
        wait_for(lambda: self.get(f"/{job_id}").json["metrics"].get("current_step") == 7, what="step 7")
        return str(job_id)


@pytest.fixture
def lin(client: FlaskClient, login: Login) -> Caller:
    return Caller(client, login())


def error_of(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_training_from_file_to_model(lin: Caller) -> None:
    made = lin.create(suffix="tone", seed=7, metadata={"team": "a"}, method={"type": "supervised"})
    assert made.status_code == 200 and made.json["object"] == "fine_tuning.job"
    assert made.json["status"] in {"queued", "running"} and made.json["fine_tuned_model"] is None
    assert made.json["training_file"] == lin.file and made.json["metadata"] == {"team": "a"}
    assert made.json["id"].startswith("ftjob-") and made.json["seed"] == 7
    numbers = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.0}
    assert made.json["hyperparameters"] == numbers == made.json["method"]["supervised"]["hyperparameters"]
    done = lin.until(made.json["id"], "succeeded", "failed")
    assert done["status"] == "succeeded" and done["error"] is None and done["finished_at"]
    assert done["fine_tuned_model"].startswith(f"ft:{BASE}:") and ":tone:" in done["fine_tuned_model"]
    listed = lin.client.get(f"/v1/models/{done['fine_tuned_model']}", headers=lin.headers)
    assert listed.json["id"] == done["fine_tuned_model"]


def test_hyperparameters_come_from_either_place(lin: Caller, services: Services) -> None:
    numbers = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 0.5}
    for body in ({"hyperparameters": numbers}, {"method": {"supervised": {"hyperparameters": numbers}}}):
        asked, _ = services.jobs.asked(lin.create(**body).json["id"].removeprefix("ftjob-"))
        assert asked.model_dump() | {"epochs": 2, "batch_size": 4, "learning_rate": 1e-4} == asked.model_dump()


def test_events_come_newest_first_in_pages(lin: Caller) -> None:
    job_id = lin.create(hyperparameters={"n_epochs": 1}).json["id"]
    lin.until(job_id, "succeeded")
    everything = lin.get(f"/{job_id}/events?limit=1000").json["data"]
    assert everything[0]["message"] == "The job has successfully completed"
    assert everything[-1]["message"] == "The job is queued"
    numbers = [each["data"] for each in everything if each["type"] == "metrics"]
    assert numbers and all(each["step"] and each["train_loss"] for each in numbers)
    assert {each["object"] for each in everything} == {"fine_tuning.job.event"}
    seen, after = [], ""
    while True:
        page = lin.get(f"/{job_id}/events?limit=2{after}").json
        seen += page["data"]
        after = f"&after={page['last_id']}"
        if not page["has_more"]:
            break
    assert seen == everything


def test_the_checkpoint_that_can_be_called_comes_with_what_was_measured(lin: Caller) -> None:
    job_id = lin.create(hyperparameters={"n_epochs": 100}).json["id"]
    done = lin.until(job_id, "succeeded")
    found = lin.get(f"/{job_id}/checkpoints").json
    assert [each["step_number"] for each in found["data"]] == [1000] and not found["has_more"]
    assert found["data"][0]["fine_tuned_model_checkpoint"] == done["fine_tuned_model"]
    assert found["data"][0]["metrics"]["train_loss"] == pytest.approx(0.99**1000)
    assert lin.get(f"/{job_id}/checkpoints?after={found['last_id']}").json["data"] == []


def test_no_checkpoint_is_listed_before_one_can_be_called(lin: Caller, tmp_path: Path) -> None:
    plan = json.dumps({"wait": 502, "gate": str(tmp_path / "gate")})
    job_id = lin.create(description=plan, hyperparameters={"n_epochs": 100}).json["id"]
    wait_for(lambda: lin.get(f"/{job_id}").json["metrics"].get("current_step") == 501, what="step 501")
    messages = [each["message"] for each in lin.get(f"/{job_id}/events?limit=100").json["data"]]
    assert "Checkpoint created at step 500" in messages
    assert lin.get(f"/{job_id}/checkpoints").json["data"] == []
    lin.post(f"/{job_id}/cancel")


def test_a_paused_training_goes_on_under_its_id(lin: Caller, tmp_path: Path) -> None:
    job_id = lin.waiting(tmp_path)
    assert lin.post(f"/{job_id}/pause").json["status"] == "paused"
    (tmp_path / "gate").touch()
    resumed = lin.post(f"/{job_id}/resume").json
    assert resumed["id"] == job_id and resumed["status"] in {"queued", "running", "succeeded"}
    assert lin.until(job_id, "succeeded", "failed")["status"] == "succeeded"
    begun = [line for line in (tmp_path / "runs").read_text().splitlines() if line.startswith("begin")]
    assert len(begun) == 2
    assert len(lin.client.get("/api/v1/models", headers=lin.headers).json["models"]) == 2


def test_a_queued_training_can_be_paused_and_cancelled(lin: Caller, tmp_path: Path) -> None:
    first = lin.waiting(tmp_path)
    second = lin.create().json["id"]
    assert lin.get(f"/{second}").json["status"] == "queued"
    assert lin.post(f"/{second}/pause").json["status"] == "paused"
    assert lin.post(f"/{second}/resume").json["status"] == "queued"
    assert lin.post(f"/{second}/pause").json["status"] == "paused"
    assert lin.post(f"/{second}/cancel").json["status"] == "cancelled"
    assert error_of(lin.post(f"/{second}/resume"))[:2] == (409, "conflict")
    assert error_of(lin.post(f"/{second}/cancel"))[:2] == (409, "conflict")
    assert lin.post(f"/{first}/cancel").json["status"] == "cancelled"
    # What it learned until then can be used.
    wait_for(lambda: lin.get(f"/{first}").json["fine_tuned_model"], what="the model of a cancelled training")


def test_a_file_that_is_trained_with_stays(lin: Caller, tmp_path: Path) -> None:
    job_id = lin.waiting(tmp_path)
    running = lin.client.delete(f"/v1/files/{lin.file}", headers=lin.headers)
    lin.post(f"/{job_id}/pause")
    paused = lin.client.delete(f"/v1/files/{lin.file}", headers=lin.headers)
    for refused in (running, paused):
        assert error_of(refused) == (409, "conflict", "file_id") and refused.headers["x-should-retry"] == "false"
        assert refused.json["error"]["details"]["reason"] == "in_use"
    lin.post(f"/{job_id}/cancel")
    wait_for(
        lambda: lin.client.delete(f"/v1/files/{lin.file}", headers=lin.headers).status_code == 200, what="a free file"
    )


def test_what_fails_says_why(lin: Caller) -> None:
    job_id = lin.create(description=json.dumps({"diverge": 2})).json["id"]
    failed = lin.until(job_id, "failed")
    assert failed["error"]["message"] and failed["error"]["code"] and failed["fine_tuned_model"] is None
    assert lin.get(f"/{job_id}/events?limit=1").json["data"][0]["level"] == "error"
    assert error_of(lin.post(f"/{job_id}/cancel"))[:2] == (409, "conflict")


def test_validation_rows_come_from_a_file_of_their_own(lin: Caller, services: Services) -> None:
    held = lin.upload(LINES + b'{"instruction": "q", "output": "a"}\n', "held.jsonl")
    made = lin.create(validation_file=held)
    assert made.json["validation_file"] == held and made.json["estimate"]["rows"] == 41
    assert lin.until(made.json["id"], "succeeded", "failed")["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": ""}, (400, "missing_required_parameter", "model")),
        ({"model": "nobody-has-this"}, (404, "model_not_found", "model")),
        ({"model": "whisper-base"}, (400, "invalid_value", "model")),
        ({"model": "../../etc"}, (400, "invalid_value", "model")),
        ({"training_file": "file-none"}, (404, "not_found", "training_file")),
        ({"training_file": "dataset-none"}, (404, "not_found", None)),
        ({"validation_file": "file-none"}, (404, "not_found", "validation_file")),
        ({"suffix": "x" * 65}, (400, "invalid_value", "suffix")),
        ({"seed": -1}, (400, "invalid_value", "seed")),
        ({"hyperparameters": {"n_epochs": 0}}, (400, "invalid_value", "hyperparameters.n_epochs")),
        ({"hyperparameters": {"n_epochs": "many"}}, (400, "invalid_value", "hyperparameters.n_epochs")),
        ({"hyperparameters": {"batch_size": 0}}, (400, "invalid_value", "hyperparameters.batch_size")),
        ({"method": {"type": "dpo"}}, (400, "unsupported_parameter", None)),
        ({"method": {"type": "magic"}}, (400, "unsupported_value", "method.type")),
        ({"integrations": [{"type": "wandb"}]}, (400, "unsupported_parameter", "integrations")),
        ({"metadata": {"a": 1}}, (400, "invalid_value", "metadata.a")),
        ({"metadata": {str(n): "" for n in range(17)}}, (400, "invalid_value", "metadata")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told(lin: Caller, body: dict[str, Any], expected: tuple[int, str, str | None]) -> None:
    told = error_of(lin.create(**body))
    assert told[0] == expected[0] and told[1] in {expected[1], "invalid_value", "invalid_request"}
    assert expected[2] in (None, told[2])


def test_only_training_files_are_trained_with(lin: Caller) -> None:
    other = lin.upload(purpose="user_data")
    answer = lin.create(training_file=other)
    assert error_of(answer) == (400, "invalid_value", "training_file")
    assert answer.json["error"]["details"]["reason"] == "wrong_purpose"
    unlike = lin.upload(b"text,label\na,b\n", "held.csv")
    assert error_of(lin.create(validation_file=unlike)) == (400, "invalid_value", "validation_file")


def test_trainings_come_in_pages_and_by_their_metadata(lin: Caller) -> None:
    ids = [lin.create(metadata={"number": str(n)}).json["id"] for n in range(3)]
    page = lin.get("?limit=2").json
    assert [each["id"] for each in page["data"]] == ids[:0:-1] and page["has_more"]
    rest = lin.get(f"?after={page['last_id']}").json
    assert [each["id"] for each in rest["data"]] == ids[:1] and not rest["has_more"]
    assert [each["id"] for each in lin.get("?metadata[number]=1").json["data"]] == [ids[1]]
    assert lin.get("?metadata[number]=9").json["data"] == []
    assert lin.get("?after=ftjob-none").status_code == 400


def test_trainings_of_other_doors_are_told_too(lin: Caller) -> None:
    body = {"base_model": BASE, "dataset_path": "data/facts.jsonl", "epochs": 1}
    started = lin.client.post("/api/llm-finetuning/lora/start", json=body, headers=lin.headers).json["task_id"]
    told = lin.until(started, "succeeded")
    assert told["id"] == f"ftjob-{started}" and told["training_file"] == "data/facts.jsonl"
    made = lin.create().json["id"].removeprefix("ftjob-")
    assert lin.client.get(f"/api/training/status/{made}", headers=lin.headers).status_code == 200


def test_another_users_training_is_not_there(
    lin: Caller, client: FlaskClient, login: Login, services: Services
) -> None:
    job_id = lin.create().json["id"]
    accounts.add(UserRequest(username="eve", password="correct-horse-battery"), services=services)
    eve = login("eve")
    for method, path in [("get", ""), ("get", "/events"), ("get", "/checkpoints")]:
        assert getattr(client, method)(f"{JOBS}/{job_id}{path}", headers=eve).status_code == 404
    for path in ("/cancel", "/pause", "/resume"):
        assert client.post(f"{JOBS}/{job_id}{path}", headers=eve).status_code == 404
    stolen = client.post(JOBS, json={"model": BASE, "training_file": lin.file}, headers=eve)
    assert error_of(stolen) == (404, "not_found", "training_file")
    assert client.get(JOBS, headers=eve).json["data"] == []


def test_the_same_key_trains_once(lin: Caller) -> None:
    first, again = (lin.create(headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json["id"] == again.json["id"] and again.headers["Idempotent-Replayed"] == "true"
    other = lin.create(headers={"Idempotency-Key": "k"}, seed=1)
    assert other.status_code == 400 and other.json["error"]["details"]["reason"] == "reused"
