"""Pictures become a classifier that answers by name, on a running service: killed on the way, and nobody else's."""

import io
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from safetensors.torch import load_file

from services.database import open_database
from services.settings import Settings
from services.trained_models import TrainedModelStore
from tests.live import LiveServer, wait_for
from tests.processes import all_pids, read_of
from tests.taught_pictures import COLOURS, colour_files, coloured, zipped

SECONDS = 120
PASSWORD = "correct-horse-staple"
BASE = "tiny-vit-dropping"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bases: Path) -> Iterator[LiveServer]:
    """gunicorn with an engine host, and a tiny base that the operator put there."""
    folder = tmp_path_factory.mktemp("classifiers")
    shutil.copytree(tiny_bases / BASE, folder / "models" / BASE)
    limits = {f"RATE_LIMIT_{name}": "10000/minute" for name in ("TRAINING", "DEFAULT", "STATUS")}
    running = LiveServer(folder, **limits).start()
    yield running
    running.stop()


class Caller:
    """One user of the service."""

    def __init__(self, server: LiveServer, headers: dict[str, str]) -> None:
        self.server, self.headers = server, headers

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, self.server.url + path, headers=self.headers, timeout=SECONDS, **more)

    def upload(self, data: bytes, name: str) -> str:
        answer = self.call("POST", "/api/v1/datasets/upload", files={"file": (name, data)}, data={"name": name})
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["id"])

    def start(self, **asked: Any) -> requests.Response:
        known = {"base_model": BASE, "epochs": 20, "batch_size": 8, "learning_rate": 0.003, "freeze_backbone": False}
        return self.call("POST", "/api/training/start", json=known | asked)

    def status(self, task_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/api/training/status/{task_id}").json())

    def end_of(self, task_id: str) -> dict[str, Any]:
        ends = {"completed", "failed", "canceled"}
        wait_for(lambda: self.status(task_id)["status"] in ends, what="the training to end", seconds=SECONDS)
        return self.status(task_id)

    def classify(self, picture: bytes, model: str) -> requests.Response:
        files = {"image": ("x.jpg", io.BytesIO(picture))}
        return self.call("POST", "/api/image-recognition/classify", files=files, data={"model": model})


@pytest.fixture(scope="module")
def users(server: LiveServer) -> dict[str, Caller]:
    admin = Caller(server, server.login())
    found = {}
    for name in ("lin", "eve"):
        admin.call("POST", "/api/auth/users", json={"username": name, "password": PASSWORD, "role": "user"})
        answer = requests.post(
            f"{server.url}/api/v1/login", json={"username": name, "password": PASSWORD}, timeout=SECONDS
        )
        found[name] = Caller(server, {"Authorization": f"Bearer {answer.json()['token']}"})
    return found


@pytest.fixture(scope="module")
def dataset(users: dict[str, Caller]) -> str:
    """Lin's pictures of three colours."""
    return users["lin"].upload(zipped(colour_files(12)), "colours.zip")


@pytest.fixture(scope="module")
def trained(users: dict[str, Caller], dataset: str) -> dict[str, Any]:
    """The end of a training that nothing broke off."""
    answer = users["lin"].start(dataset_path=dataset, name="my colours")
    assert answer.status_code == 200, answer.text
    told = users["lin"].end_of(answer.json()["task_id"])
    assert told["status"] == "completed", told
    return told


def trainers_of(server: LiveServer) -> list[int]:
    """The processes that train: children carry no mark of their service but its folder."""
    mark = str(server.folder).encode()
    return [pid for pid in all_pids() if b"child_main" in read_of(pid, "cmdline") and mark in read_of(pid, "environ")]


@contextmanager
def listed(server: LiveServer) -> Iterator[TrainedModelStore]:
    """What the service keeps of trained models."""
    settings = Settings(_env_file=None, instance_dir=server.folder / "instance", models_dir=server.folder / "models")
    database = open_database(settings.sqlalchemy_url)
    yield TrainedModelStore(database, settings)
    database.close()


def weights(server: LiveServer, told: dict[str, Any]) -> dict[str, Any]:
    with listed(server) as store:
        folder = store.folder(store.find(told["model"]["model"], owner=None))
    return dict(load_file(folder / "model.safetensors"))


def test_it_answers_by_each_of_its_names(users: dict[str, Caller], trained: dict[str, Any]) -> None:
    card = trained["model"]
    for name in (card["model"], card["openai_name"], "my colours", card["path"]):
        for label in COLOURS:
            answer = users["lin"].classify(coloured(label, 77), name)
            assert answer.status_code == 200, answer.text
            assert answer.json()["model"] == card["model"]
            assert answer.json()["classifications"][0]["label"] == label


def test_its_measures_are_told(trained: dict[str, Any]) -> None:
    metrics = trained["metrics"]
    assert {"accuracy", "f1_score", "val_loss", "train_loss"} <= metrics.keys()
    assert trained["current_step"] == trained["total_steps"] == 80
    assert sum(map(sum, trained["model"]["metrics"]["confusion_matrix"])) == 3


def test_for_others_it_is_not_there(users: dict[str, Caller], trained: dict[str, Any]) -> None:
    card = trained["model"]
    for name in (card["model"], card["openai_name"], "my colours", card["path"]):
        answer = users["eve"].classify(coloured("red", 77), name)
        assert answer.status_code == 404, (name, answer.text)


def test_its_use_is_counted(server: LiveServer, users: dict[str, Caller], trained: dict[str, Any]) -> None:
    with listed(server) as store:
        before = store.find(trained["model"]["model"], owner=None)
        users["lin"].classify(coloured("red", 77), before.id)
        after = store.find(before.id, owner=None)
    assert after.usage_count == before.usage_count + 1
    assert after.last_used is not None


@pytest.mark.parametrize("whom", ["trainer", "host"])
def test_killed_in_the_middle_it_ends_with_the_same_weights(
    server: LiveServer, users: dict[str, Caller], dataset: str, trained: dict[str, Any], whom: str
) -> None:
    task_id = users["lin"].start(dataset_path=dataset, name="my colours").json()["task_id"]
    wait_for(lambda: 8 < users["lin"].status(task_id)["current_step"] < 76, what="the middle", seconds=SECONDS)
    for pid in trainers_of(server) if whom == "trainer" else server.host_pids():
        os.kill(pid, signal.SIGKILL)
    told = users["lin"].end_of(task_id)
    assert told["status"] == "completed", told
    log = users["lin"].call("GET", f"/api/jobs/{task_id}/log").text
    assert "goes on from step" in log
    unbroken, broken = weights(server, trained), weights(server, told)
    assert max(float((unbroken[name] - broken[name]).abs().max()) for name in unbroken) < 1e-4


def test_a_stop_leaves_one_that_answers(users: dict[str, Caller], dataset: str) -> None:
    lin = users["lin"]
    task_id = lin.start(dataset_path=dataset, name="stopped", epochs=1000).json()["task_id"]
    wait_for(lambda: lin.status(task_id)["current_step"] > 10, what="some steps", seconds=SECONDS)
    assert lin.call("POST", f"/api/training/stop/{task_id}").status_code == 200
    told = lin.end_of(task_id)
    assert (told["status"], told["model"]["stopped"]) == ("canceled", True), told
    assert lin.classify(coloured("red", 77), "stopped").status_code == 200


REFUSED = {
    "one-class": (zipped(colour_files(9, ("red",))), "one_class"),
    "one-picture": (zipped(colour_files(9) | {"mauve/1.jpg": coloured("red", 77)}), "too_few_pictures"),
    "texts": (b'{"instruction": "q", "output": "a"}\n{"instruction": "q", "output": "b"}', "dataset_format"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_is_refused_before_there_is_a_job(users: dict[str, Caller], name: str) -> None:
    data, reason = REFUSED[name]
    found = users["lin"].upload(data, f"{name}.jsonl" if name == "texts" else f"{name}.zip")
    answer = users["lin"].start(dataset_path=found)
    assert answer.status_code == 422, answer.text
    assert reason in answer.text


def test_another_s_pictures_are_not_there(users: dict[str, Caller], dataset: str) -> None:
    assert users["eve"].start(dataset_path=dataset).status_code == 404
