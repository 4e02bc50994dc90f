"""System 5's trainings, as its clients call them: log in, upload, process, train; only the base URL is new."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.test_system_3_training import install
from tests.live import LiveServer, wait_for

SECONDS = 240
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TEMPLATE = "### 指令:\n{instruction}\n\n### 回答:\n{response}"
ROWS = [{"instruction": f"解释概念 {number}", "response": f"概念 {number} 的解释。"} for number in range(60)]
TRAIN: dict[str, Any] = {
    "dataset_path": "/data/processed/sample",
    "config": {"learning_rate": 3e-5, "batch_size": 16, "num_epochs": 3, "output_dir": "./models/my_model"},
    "lora_config": {"r": 16, "lora_alpha": 32},
}


class Client:
    """System 5's client: a token and the documented paths."""

    def __init__(self, server: LiveServer) -> None:
        self.url, self.token = f"{server.url}/api/v1", server.login()

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, headers=self.token, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **more: Any) -> requests.Response:
        return requests.post(self.url + path, headers=self.token, timeout=120, **more)

    def train(self, **changes: Any) -> Any:
        answer = self.post("/train", json=TRAIN | changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end_of(self, task_id: str) -> Any:
        def shown() -> Any:
            return self.get(f"/train/status/{task_id}")

        wait_for(lambda: shown()["status"] in {"completed", "failed", "canceled"}, what="the end", seconds=SECONDS)
        return shown()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[Client]:
    """A running service whose default base is a tiny one, and a client that has processed `sample`."""
    folder = tmp_path_factory.mktemp("system-5-training")
    install(folder / "models", "llama-2-7b", tiny_llama)
    running = LiveServer(
        folder,
        DEFAULT_LANGUAGE="zh",
        DEFAULT_BASE_MODEL="llama-2-7b",
        CPU_THREADS="1",
        OMP_NUM_THREADS="1",
        RATE_LIMIT_DEFAULT="10000/minute",
    ).start()
    found = Client(running)
    rows = json.dumps(ROWS, ensure_ascii=False).encode()
    sent = found.post("/datasets/upload", files={"file": ("sample.json", rows)}, data={"name": "通用指令数据集"})
    asked = {"dataset_id": sent.json()["id"], "output_name": "sample", "template": TEMPLATE}
    assert found.post("/datasets/process", json=asked).status_code == 200
    yield found
    running.stop()


@pytest.fixture(scope="module")
def started(client: Client) -> Any:
    return client.train()


def test_a_start_answers_as_documented(started: Any) -> None:
    assert {"task_id", "status", "message", "created_at"} <= started.keys()
    assert (started["status"], started["message"]) == ("started", "训练任务已启动")
    assert TIME.fullmatch(started["created_at"]) and len(started["task_id"]) == 36


def test_the_status_answers_as_documented(client: Client, started: Any) -> None:
    told = client.end_of(started["task_id"])
    assert (told["task_id"], told["status"], told["progress"]) == (started["task_id"], "completed", 100), told["error"]
    assert all(isinstance(told["metrics"][name], float) for name in ("train_loss", "learning_rate", "epoch"))
    assert told["metrics"]["epoch"] == 3.0 and told["metrics"]["val_loss"] > 0
    assert TIME.fullmatch(told["started_at"]) and TIME.fullmatch(told["updated_at"])
    assert told["model"]["path"] == "models/my_model/sample/final"
    assert [point["step"] for point in told["history"]] == sorted(point["step"] for point in told["history"])


def test_the_version_that_was_trained_is_pinned(client: Client, started: Any) -> None:
    told = client.end_of(started["task_id"])
    assert (told["dataset_version"], told["dataset_path"].startswith("dataset-")) == (1, True)


def test_the_second_waits_its_turn_and_is_canceled_as_documented(client: Client) -> None:
    long = TRAIN["config"] | {"num_epochs": 1000}
    first, second = client.train(config=long), client.train(config=long)
    waiting = client.get(f"/train/status/{second['task_id']}")
    assert (waiting["status"], waiting["position"], waiting["progress"]) == ("queued", 1, 0)
    for task_id in (second["task_id"], first["task_id"]):
        told = client.post(f"/train/cancel/{task_id}").json()
        assert (told["task_id"], told["status"], told["message"]) == (task_id, "canceled", "训练任务已取消")
        assert TIME.fullmatch(told["canceled_at"])
        assert client.end_of(task_id)["status"] == "canceled"


def test_errors_are_as_documented(client: Client) -> None:
    missing = client.post("/train", json={"config": {}})
    error = missing.json()["error"]
    assert (missing.status_code, error["code"]) == (400, "INVALID_REQUEST")
    assert error["details"] == {"field": "dataset_path", "reason": "required"}
    assert client.post("/train", json=TRAIN | {"dataset_path": "/data/processed/none"}).status_code == 404
    assert requests.post(f"{client.url}/train", json=TRAIN, timeout=10).json()["error"]["code"] == "UNAUTHORIZED"
    unknown = requests.get(f"{client.url}/train/status/none", headers=client.token, timeout=10)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "NOT_FOUND")
