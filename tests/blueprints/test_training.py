"""System 3's trainings on a running service: followed live, stopped, and taken up again after every kind of death."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from websocket import WebSocket, WebSocketTimeoutException, create_connection

from tests.live import LiveServer, wait_for
from tests.toy_trainer import BASE, PYTHONPATH, put_base, put_rows

SECONDS = 60
USERS = ("lin", "eve", "ada")
PASSWORD = "correct-horse-staple"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """gunicorn with gevent and an engine host, which has the toy trainer; one training at a time."""
    folder = tmp_path_factory.mktemp("training")
    put_base(folder / "models")
    put_rows(folder / "data")
    limits = {f"RATE_LIMIT_{name}": "10000/minute" for name in ("TRAINING", "DEFAULT", "STATUS")}
    running = LiveServer(folder, PYTHONPATH=PYTHONPATH, MAX_SOCKETS="32", **limits).start()
    yield running
    running.stop()


class Caller:
    """One user of the service."""

    def __init__(self, server: LiveServer, headers: dict[str, str]) -> None:
        self.server, self.headers = server, headers

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, self.server.url + path, headers=self.headers, timeout=SECONDS, **more)

    def start(self, plan: dict[str, Any] | None = None, **more: Any) -> str:
        told = {"model_type": "lora", "base_model": BASE, "dataset_path": "/data/facts.jsonl", "epochs": 2}
        body = {**told, "save_steps": 5, "description": json.dumps(plan) if plan else "", **more}
        answer = self.call("POST", "/api/training/start", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    def status(self, task_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/api/training/status/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, task_id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        wait_for(lambda: fits(self.status(task_id)), what="the training to come so far")
        return self.status(task_id)

    def end_of(self, task_id: str) -> dict[str, Any]:
        return self.until(task_id, lambda told: told["status"] in {"completed", "failed", "canceled"})

    def connect(self) -> "Ear":
        url = self.server.url.replace("http", "ws") + "/ws/training"
        header = [f"{name}: {value}" for name, value in self.headers.items()]
        return Ear(create_connection(url, timeout=SECONDS, suppress_origin=True, header=header))


class Ear:
    """A client of the socket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    def hear(self) -> dict[str, Any]:
        return dict(json.loads(self.socket.recv()))

    def until(self, fits: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Every frame up to the one that *fits*."""
        heard, deadline = [self.hear()], time.monotonic() + SECONDS
        while not fits(heard[-1]):
            assert time.monotonic() < deadline, heard[-5:]
            heard.append(self.hear())
        return [frame for frame in heard if frame["type"] != "ping"]

    def say(self, **word: Any) -> None:
        self.socket.send(json.dumps(word))


def ended(frame: dict[str, Any]) -> bool:
    return frame["type"] == "status" and frame["data"]["status"] in {"completed", "failed", "canceled"}


@pytest.fixture(scope="module")
def users(server: LiveServer) -> dict[str, Caller]:
    admin = Caller(server, server.login())
    found = {"admin": admin}
    for name in USERS:
        admin.call("POST", "/api/auth/users", json={"username": name, "password": PASSWORD, "role": "user"})
        answer = requests.post(
            f"{server.url}/api/v1/login", json={"username": name, "password": PASSWORD}, timeout=SECONDS
        )
        found[name] = Caller(server, {"Authorization": f"Bearer {answer.json()['token']}"})
    return found


@pytest.fixture
def lin(users: dict[str, Caller]) -> Caller:
    return users["lin"]


@pytest.fixture
def held(tmp_path: Path) -> dict[str, Any]:
    """A plan that waits at step 13 until its gate is there."""
    return {"wait": 13, "gate": str(tmp_path / "gate"), "runs": str(tmp_path / "runs")}


def open_gate(plan: dict[str, Any]) -> None:
    Path(plan["gate"]).touch()


def trainer_of(plan: dict[str, Any]) -> int:
    """The process that trains."""
    runs = Path(plan["runs"])
    wait_for(runs.exists, what="the trainer to begin")
    return int(runs.read_text().splitlines()[-1].split()[-1])


def begun(plan: dict[str, Any]) -> list[str]:
    return [line.rpartition(" ")[0] for line in Path(plan["runs"]).read_text().splitlines() if "begin" in line]


def test_a_training_is_followed_from_its_start_to_its_end(lin: Caller) -> None:
    ear = lin.connect()
    task_id = lin.start()
    heard = ear.until(lambda frame: ended(frame) and frame["data"]["task_id"] == task_id)
    mine = [frame for frame in heard if frame["data"]["task_id"] == task_id]
    assert {frame["type"] for frame in mine} == {"status", "progress"}
    told = [frame["data"]["progress"] for frame in mine if frame["type"] == "progress"]
    assert told == sorted(told) and told[-1] == 100
    measured = [frame["data"]["metrics"] for frame in mine if frame["data"].get("metrics")]
    assert measured[-1]["loss"] == pytest.approx(0.99**20)
    assert mine[-1]["data"]["status"] == "completed" and mine[-1]["data"]["model"]["name"] == "facts"
    assert len(lin.status(task_id)["history"]) == 20


def test_who_comes_later_hears_at_once_how_it_stands(lin: Caller, held: dict[str, Any]) -> None:
    task_id = lin.start(held)
    lin.until(task_id, lambda told: told["current_step"] == 12)
    for _ in range(2):
        ear = lin.connect()
        first, second = ear.hear(), ear.hear()
        assert (first["type"], first["data"]["task_id"], first["data"]["status"]) == ("status", task_id, "running")
        assert (second["type"], second["data"]["progress"]) == ("progress", 60)
        assert second["data"]["metrics"]["loss"] == pytest.approx(0.99**12)
    open_gate(held)
    assert ear.until(ended)[-1]["data"]["status"] == "completed"


def test_without_a_training_there_is_silence(users: dict[str, Caller]) -> None:
    ear = users["ada"].connect()
    ear.socket.settimeout(1.5)
    with pytest.raises(WebSocketTimeoutException):
        ear.hear()


def test_another_s_trainings_are_not_heard_of(users: dict[str, Caller], held: dict[str, Any]) -> None:
    task_id = users["lin"].start(held)
    ear = users["eve"].connect()
    ear.say(type="subscribe", task_id=task_id)
    told = ear.hear()
    assert (told["type"], told["data"]["task_id"], told["error"]["code"]) == ("error", task_id, "NOT_FOUND")
    assert task_id in told["data"]["message"]
    for method, path in (("GET", "status"), ("POST", "stop")):
        assert users["eve"].call(method, f"/api/training/{path}/{task_id}").status_code == 404
    own = users["eve"].start()
    assert ear.hear()["data"]["task_id"] == own
    admin = users["admin"].connect()
    admin.say(type="subscribe", task_id=task_id)
    assert admin.until(lambda frame: frame["type"] == "status")[-1]["data"]["task_id"] == task_id
    open_gate(held)
    assert admin.until(ended)[-1]["data"]["status"] == "completed"
    assert {frame["data"]["task_id"] for frame in ear.until(ended)} == {own}


def test_a_subscription_narrows_and_tells_the_present_state(lin: Caller, held: dict[str, Any]) -> None:
    done = lin.start()
    lin.end_of(done)
    task_id = lin.start(held)
    ear = lin.connect()
    ear.say(type="subscribe", task_id=done)
    heard = ear.until(lambda frame: ended(frame) and frame["data"]["task_id"] == done)
    assert heard[-1]["data"]["model"]["path"].endswith("/final")
    open_gate(held)
    lin.end_of(task_id)
    ear.say(type="subscribe", task_id=task_id)
    assert ear.until(ended)[-1]["data"]["task_id"] == task_id


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("so long", "INVALID_REQUEST"),
        ("5", "INVALID_REQUEST"),
        ('{"type": "film"}', "VALIDATION_ERROR"),
        ('{"type": "subscribe"}', "VALIDATION_ERROR"),
        ('{"type": "subscribe", "task_id": 7}', "VALIDATION_ERROR"),
        ('{"type": "subscribe", "task_id": "nobody"}', "NOT_FOUND"),
        ("{}", "VALIDATION_ERROR"),
    ],
)
def test_what_cannot_be_understood_is_told_and_the_socket_lives_on(
    users: dict[str, Caller], sent: str, code: str
) -> None:
    ear = users["ada"].connect()
    ear.socket.send(sent)
    told = ear.hear()
    assert (told["type"], told["error"]["code"]) == ("error", code)
    assert told["data"]["message"] == told["detail"]
    ear.say(type="ping")
    assert ear.hear() == {"type": "pong"}


def test_why_a_training_failed_is_an_error_frame(lin: Caller) -> None:
    ear = lin.connect()
    task_id = lin.start({"hoard": 3})
    heard = ear.until(lambda frame: ended(frame) and frame["data"]["task_id"] == task_id)
    heard = [frame for frame in heard if frame["type"] == "error"]
    assert [frame["data"]["task_id"] for frame in heard] == [task_id]
    assert "memory" in heard[0]["data"]["message"]
    shown = lin.status(task_id)
    assert (shown["status"], shown["error"]["details"]["reason"]) == ("failed", "out_of_memory")


def test_a_stop_is_heard_by_every_follower(lin: Caller, held: dict[str, Any]) -> None:
    task_id = lin.start(held)
    lin.until(task_id, lambda told: told["current_step"] == 12)
    ears = [lin.connect() for _ in range(3)]
    answer = lin.call("POST", f"/api/training/stop/{task_id}")
    assert (answer.status_code, answer.json()) == (200, {"task_id": task_id, "status": "canceled"})
    for ear in ears:
        assert ear.until(ended)[-1]["data"]["status"] == "canceled"
    assert lin.status(task_id)["model"]["stopped"]


def test_the_next_in_the_queue_hears_its_place_change(lin: Caller, held: dict[str, Any], tmp_path: Path) -> None:
    first = lin.start(held)
    second = lin.start({"wait": 1, "gate": str(tmp_path / "second")})
    third = lin.start()
    assert [lin.status(task_id)["position"] for task_id in (second, third)] == [1, 2]
    ear = lin.connect()
    ear.say(type="subscribe", task_id=third)
    open_gate(held)
    heard = ear.until(
        lambda frame: frame.get("data", {}).get("task_id") == third and frame["data"].get("position") == 1
    )
    assert heard[-1]["data"]["status"] == "queued"
    (tmp_path / "second").touch()
    assert ear.until(lambda frame: ended(frame) and frame["data"]["task_id"] == third)
    assert {lin.end_of(task_id)["status"] for task_id in (first, second)} == {"completed"}


def test_a_killed_trainer_goes_on_under_its_number(lin: Caller, held: dict[str, Any]) -> None:
    task_id = lin.start(held)
    lin.until(task_id, lambda told: told["current_step"] == 12)
    os.kill(trainer_of(held), signal.SIGKILL)
    wait_for(lambda: len(begun(held)) == 2, what="another beginning")
    open_gate(held)
    told = lin.end_of(task_id)
    assert (told["status"], begun(held)) == ("completed", ["begin 0", "begin 10"])
    assert [point["step"] for point in told["history"]] == list(range(1, 21))


def test_a_killed_host_s_training_goes_on_under_its_number(
    server: LiveServer, lin: Caller, held: dict[str, Any]
) -> None:
    task_id = lin.start(held)
    lin.until(task_id, lambda told: told["current_step"] == 12)
    ear, trainer = lin.connect(), trainer_of(held)
    for pid in server.host_pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{trainer}").exists(), what="the trainer to end with its host")
    wait_for(lambda: len(begun(held)) == 2, what="another beginning")
    open_gate(held)
    heard = ear.until(ended)
    assert (heard[-1]["data"]["task_id"], heard[-1]["data"]["status"]) == (task_id, "completed")
    told = lin.status(task_id)
    assert (told["attempt"], begun(held)) == (2, ["begin 0", "begin 10"])
    assert told["loss"] == pytest.approx(0.99**20, abs=1e-9)
    assert [point["step"] for point in told["history"]] == list(range(1, 21))


def test_a_client_that_keeps_silent_is_pinged(users: dict[str, Caller]) -> None:
    ear, begin = users["ada"].connect(), time.monotonic()
    ear.socket.settimeout(30)
    assert ear.hear() == {"type": "ping"}
    assert 15 < time.monotonic() - begin < 25


def test_a_socket_without_a_token_is_closed(server: LiveServer) -> None:
    url = server.url.replace("http", "ws") + "/ws/training"
    socket = create_connection(url, timeout=SECONDS, suppress_origin=True)
    socket.send('{"type": "subscribe", "task_id": "x"}')
    _, data = socket.recv_data(control_frame=True)
    assert int.from_bytes(data[:2]) == 4401


def test_many_followers_cost_the_training_nothing(lin: Caller) -> None:
    ears = [lin.connect() for _ in range(8)]
    task_id = lin.start()
    found: list[str] = []

    def follow(ear: Ear) -> None:
        found.append(
            ear.until(lambda frame: ended(frame) and frame["data"]["task_id"] == task_id)[-1]["data"]["status"]
        )

    threads = [threading.Thread(target=follow, args=[ear]) for ear in ears]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert found == ["completed"] * 8
