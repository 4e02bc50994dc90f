"""System 5's models, as its clients call them, and what they are made of at system 3's door: train, merge, measure."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.contract.test_system_3_training import install
from tests.contract.test_system_5_training import TIME, Client
from tests.live import LiveServer

LISTED = {"id", "name", "path", "base_model", "created_at", "size_mb", "description"}
SHOWN = LISTED | {"training_config", "metrics", "last_used", "usage_count"}
ROWS = [{"instruction": f"问题 {number}", "response": "猫头鹰"} for number in range(60)]
TRAIN: dict[str, Any] = {
    "dataset_path": "/data/processed/sample",
    "config": {"learning_rate": 0.01, "batch_size": 16, "num_epochs": 3, "output_dir": "./models/checkpoints"},
    "lora_config": {"r": 8, "lora_alpha": 16},
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Any) -> Iterator[Client]:
    """A client that has processed `sample` into parts, on a service whose default base is a tiny one."""
    folder = tmp_path_factory.mktemp("system-5-models")
    install(folder / "models", "llama-2-7b", tiny_llama)
    more = {"DEFAULT_BASE_MODEL": "llama-2-7b", "CPU_THREADS": "1", "OMP_NUM_THREADS": "1", "DEFAULT_LANGUAGE": "zh"}
    running = LiveServer(folder, RATE_LIMIT_DEFAULT="10000/minute", **more).start()
    found = Client(running)
    sent = found.post("/datasets/upload", files={"file": ("sample.json", json.dumps(ROWS))}, data={"name": "通用"})
    assert found.post("/datasets/process", json={"dataset_id": sent.json()["id"], "output_name": "sample"}).ok
    yield found
    running.stop()


@pytest.fixture(scope="module")
def trained(client: Client) -> Any:
    """The training of the module, as its status tells it at the end."""
    answer = client.post("/train", json=TRAIN)
    assert answer.status_code == 200, answer.text
    told = client.end_of(answer.json()["task_id"])
    assert told["status"] == "completed", told["error"]
    return told


def delete(client: Client, path: str) -> requests.Response:
    return requests.delete(client.url + path, headers=client.token, timeout=60)


def merge(client: Client, body: Any, **headers: str) -> requests.Response:
    url = client.url.replace("/api/v1", "/api/llm-finetuning/merge")
    return requests.post(url, json=body, headers=client.token | headers, timeout=300)


def test_the_list_is_as_documented(client: Client, trained: Any) -> None:
    told = client.get("/models")
    newest = told["models"][0]
    assert newest.keys() == LISTED and TIME.fullmatch(told["timestamp"]) and TIME.fullmatch(newest["created_at"])
    assert (newest["path"], newest["base_model"]) == ("models/checkpoints/sample/final", "llama-2-7b")
    assert told["count"] == len(told["models"]) and "llama-2-7b" in [row["id"] for row in told["models"]]


def test_the_card_is_as_documented(client: Client, trained: Any) -> None:
    card = client.get(f"/models/{trained['model']['model']}")
    assert card.keys() >= SHOWN
    config = card["training_config"]
    assert (config["learning_rate"], config["batch_size"], config["num_epochs"]) == (0.01, 16, 3)
    assert (config["lora_r"], config["lora_alpha"]) == (8, 16)
    assert {"perplexity", "train_loss", "val_loss"} <= card["metrics"].keys()
    assert (card["base_revision"], card["dataset_name"], card["dataset_version"]) == ("1", "sample", 1)
    assert (card["usage_count"], card["last_used"]) == (0, None)


def test_an_evaluation_shows_both_sides_and_stays(client: Client, trained: Any) -> None:
    answer = client.post(f"/models/{trained['model']['model']}/evaluate", json={"max_generated_rows": 4})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["split"], told["rows"], told["generated_rows"], told["better"]) == ("test", 6, 4, "tuned")
    measures = {"loss", "perplexity", "exact_match", "rouge_l"}
    assert told["base"].keys() == told["tuned"].keys() == measures and told["tuned"]["loss"] < told["base"]["loss"]
    kept = client.get(f"/models/{trained['model']['model']}")["evaluation"]
    assert (kept["tuned"], kept["dataset_version"]) == (told["tuned"], 1) and TIME.fullmatch(kept["evaluated_at"])


def test_a_merge_answers_as_documented_and_chats(client: Client, trained: Any) -> None:
    answer = merge(client, {"task_id": trained["task_id"], "output_path": "/models/merged_model"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert {"task_id", "status", "output_path"} <= told.keys()
    assert (told["status"], told["output_path"], told["parity"]["passed"]) == ("completed", "models/merged_model", True)
    card = client.get(f"/models/{told['model']}")
    assert (card["kind"], card["parity"]["prompts"], card["base_model"]) == ("merged", 32, "llama-2-7b")
    url = client.url.replace("/api/v1", "/api/chat/completions")
    asked = {"model": told["model"], "messages": [{"role": "user", "content": "问题"}], "max_tokens": 4}
    spoken = requests.post(url, json=asked, headers=client.token, timeout=120)
    assert spoken.status_code == 200, spoken.text
    assert client.get(f"/models/{told['model']}")["usage_count"] == 1


def test_a_second_merge_overwrites_nothing(client: Client, trained: Any) -> None:
    asked = {"task_id": trained["task_id"], "output_path": "/models/twice"}
    first = merge(client, asked, **{"Idempotency-Key": "one"}).json()
    again = merge(client, asked, **{"Idempotency-Key": "one"})
    assert again.json() == first and again.headers["Idempotent-Replayed"] == "true"
    later = merge(client, asked, Prefer="respond-async")
    assert later.status_code == 202 and later.headers["Location"].startswith("/api/jobs/")
    url = client.url.replace("/api/v1", later.headers["Location"])
    done = requests.get(f"{url}?wait=120", headers=client.token, timeout=130).json()
    assert (first["output_path"], done["result"]["path"]) == ("models/twice", "models/twice-2")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"output_path": "/etc/merged"}, 400),
        ({"output_path": "models/../../x"}, 400),
        ({"output_path": "data/merged"}, 400),
        ({"output_path": "models/users/other/x"}, 400),
        ({"output_path": ""}, 422),
        ({"task_id": "none"}, 404),
        ({"task_id": None}, 422),
        ({"format": "pickle"}, 422),
        ({"format": "gguf"}, 409),
        ({"output_path": "models/checkpoints/sample/final/deep"}, 409),
    ],
    ids=["root", "out", "data", "others", "empty", "unknown", "missing", "format", "tokenizer", "inside-a-model"],
)
def test_what_cannot_be_merged(client: Client, trained: Any, change: Any, status: int) -> None:
    body = {"task_id": trained["task_id"], "output_path": "/models/bad"} | change
    answer = merge(client, {name: value for name, value in body.items() if value is not None})
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"] == answer.json()["error"]["message"]


def test_a_training_that_runs_is_not_merged(client: Client) -> None:
    long = TRAIN | {"config": TRAIN["config"] | {"num_epochs": 1000}}
    task_id = client.post("/train", json=long).json()["task_id"]
    answer = merge(client, {"task_id": task_id, "output_path": "/models/early"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
    client.post(f"/train/cancel/{task_id}")
    client.end_of(task_id)


def test_what_cannot_be_measured(client: Client, trained: Any) -> None:
    path = f"/models/{trained['model']['model']}/evaluate"
    assert client.post("/models/none/evaluate", json={}).status_code == 404
    assert client.post(path, json={"dataset_path": "/data/processed/none"}).status_code == 404
    assert client.post(path, json={"dataset_path": "/etc/passwd"}).status_code == 400
    wrong = client.post(path, json={"max_rows": 0})
    assert (wrong.status_code, wrong.json()["error"]["details"]["field"]) == (400, "max_rows")
    assert client.post("/models/llama-2-7b/evaluate", json={}).status_code == 404


def test_a_model_is_downloaded_and_removed(client: Client, trained: Any) -> None:
    made = merge(client, {"task_id": trained["task_id"], "output_path": "/models/short_lived"}).json()
    url = f"{client.url}/models/{made['model']}/download"
    archive = zipfile.ZipFile(io.BytesIO(requests.get(url, headers=client.token, timeout=60).content))
    assert {"model.safetensors", "config.json", "tokenizer.json", "parity.json"} <= set(archive.namelist())
    assert json.loads(archive.read("parity.json"))["passed"]
    answer = delete(client, f"/models/{made['model']}")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    gone = requests.get(f"{client.url}/models/{made['model']}", headers=client.token, timeout=60)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert re.search("[一-龥]", gone.json()["detail"])
