"""System 3's trainings, as its clients ask for them: no token (AUTH=open), only the base URL is new.

The document's models are tiny ones of the same names here, put where the real ones would lie.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from websocket import create_connection

from services.contracts.models import Manifest
from tests.language_models import alpaca
from tests.live import LiveServer, wait_for
from tests.taught_pictures import colour_files

SECONDS = 240
PICTURES: dict[str, Any] = {
    "model_type": "image_classifier",
    "base_model": "resnet50",
    "dataset_path": "/datasets/my_dataset",
    "output_dir": "/models/trained",
    "epochs": 10,
    "batch_size": 8,
    "learning_rate": 0.0001,
    "save_steps": 500,
}
ADAPTER: dict[str, Any] = {
    "base_model": "llama-2-7b",
    "dataset_path": "/datasets/instruction_data.jsonl",
    "output_dir": "/models/lora_adapter",
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.0002,
    "max_length": 512,
    "gradient_accumulation_steps": 4,
}


def install(models: Path, name: str, weights: Path) -> None:
    """Let *weights* count as the pulled model *name*."""
    shutil.copytree(weights, models / name)
    told = {"model": name, "source": "tests", "revision": "1", "licence": "own", "files": {}}
    manifest = Manifest.model_validate(told | {"installed_at": "2026-01-01T00:00:00Z"})
    (models / name / "polymath.json").write_text(manifest.model_dump_json())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bases: Path, tiny_llama: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("system-3-training")
    install(folder / "models", "resnet50", tiny_bases / "tiny-resnet")
    install(folder / "models", "llama-2-7b", tiny_llama)
    data = folder / "data"
    for name, picture in colour_files().items():
        (data / "my_dataset" / name).parent.mkdir(parents=True, exist_ok=True)
        (data / "my_dataset" / name).write_bytes(picture)
    (data / "instruction_data.jsonl").write_text("\n".join(map(json.dumps, alpaca(40))))
    running = LiveServer(folder, AUTH="open", CPU_THREADS="1", OMP_NUM_THREADS="1", DEFAULT_LANGUAGE="zh").start()
    yield running
    running.stop()


def post(server: LiveServer, path: str, body: Any = None) -> Any:
    answer = requests.post(f"{server.url}/api{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(server: LiveServer, path: str) -> Any:
    answer = requests.get(f"{server.url}/api{path}", timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def end_of(server: LiveServer, task_id: str) -> Any:
    def shown() -> Any:
        return get(server, f"/training/status/{task_id}")

    wait_for(lambda: shown()["status"] in {"completed", "failed", "canceled"}, what="the end", seconds=SECONDS)
    return shown()


@pytest.fixture(scope="module")
def trained(server: LiveServer) -> Any:
    """The document's training of a classifier, with the frames that its client heard."""
    socket = create_connection(server.url.replace("http", "ws") + "/ws/training", timeout=SECONDS, suppress_origin=True)
    task_id = post(server, "/training/start", PICTURES)["task_id"]
    heard: list[Any] = [json.loads(socket.recv())]
    while heard[-1]["type"] == "ping" or heard[-1]["data"].get("status") not in {"completed", "failed"}:
        heard.append(json.loads(socket.recv()))
    return {"task_id": task_id, "heard": [frame for frame in heard if frame["type"] != "ping"]}


def test_the_status_has_every_documented_field(server: LiveServer, trained: Any) -> None:
    told = end_of(server, trained["task_id"])
    assert (told["task_id"], told["status"], told["progress"]) == (trained["task_id"], "completed", 100), told["error"]
    assert (told["current_epoch"], told["total_epochs"]) == (10, 10)
    assert told["current_step"] == told["total_steps"] > 0
    assert isinstance(told["loss"], float) and isinstance(told["learning_rate"], float)
    assert 0 <= told["metrics"]["accuracy"] <= 1 and 0 <= told["metrics"]["f1_score"] <= 1
    assert told["model"]["path"] == "models/trained/my_dataset/final"


def test_the_socket_says_progress_and_status(trained: Any) -> None:
    assert {frame["data"]["task_id"] for frame in trained["heard"]} == {trained["task_id"]}
    progress = [frame["data"] for frame in trained["heard"] if frame["type"] == "progress"]
    assert any(isinstance(told["metrics"].get("loss"), float) for told in progress)
    assert trained["heard"][-1]["type"] == "status" and trained["heard"][-1]["data"]["status"] == "completed"


def test_what_was_trained_is_listed(server: LiveServer, trained: Any) -> None:
    listed = get(server, "/training/list")
    assert trained["task_id"] in [row["task_id"] for row in listed["tasks"]] and listed["count"] >= 1


def test_lora_is_started_and_followed_at_its_own_door(server: LiveServer) -> None:
    task_id = post(server, "/llm-finetuning/lora/start", ADAPTER)["task_id"]
    end_of(server, task_id)
    told = get(server, f"/llm-finetuning/status/{task_id}")
    assert (told["status"], told["total_epochs"]) == ("completed", 3), told["error"]
    assert isinstance(told["loss"], float) and told["model"]["path"] == "models/lora_adapter/instruction_data/final"
    assert (server.folder / "models" / "users" / "anonymous" / "lora_adapter" / "instruction_data" / "final").is_dir()


def test_qlora_takes_the_same_body(server: LiveServer) -> None:
    task_id = post(server, "/llm-finetuning/qlora/start", ADAPTER | {"epochs": 1})["task_id"]
    told = end_of(server, task_id)
    assert told["status"] == "completed", told["error"]


def test_a_training_is_stopped(server: LiveServer) -> None:
    task_id = post(server, "/training/start", PICTURES | {"epochs": 1000})["task_id"]
    assert post(server, f"/training/stop/{task_id}") == {"task_id": task_id, "status": "canceled"}
    assert end_of(server, task_id)["status"] == "canceled"


def test_an_error_is_a_frame_and_a_detail(server: LiveServer) -> None:
    socket = create_connection(server.url.replace("http", "ws") + "/ws/training", timeout=60, suppress_origin=True)
    socket.send('{"type": "subscribe", "task_id": "train_001"}')
    frames = [json.loads(socket.recv())]
    while frames[-1]["type"] != "error":
        frames.append(json.loads(socket.recv()))
    assert frames[-1]["data"] == {"task_id": "train_001", "message": "训练任务 'train_001' 不存在。"}
    refused = requests.get(f"{server.url}/api/training/status/train_001", timeout=10)
    assert (refused.status_code, refused.json()["detail"]) == (404, "训练任务 'train_001' 不存在。")
    wrong = requests.post(f"{server.url}/api/training/start", json=PICTURES | {"epochs": 0}, timeout=10)
    assert wrong.status_code == 422 and "epochs" in wrong.json()["detail"]
