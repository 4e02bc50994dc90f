"""The service as it runs: gunicorn, its workers and its engine host, in a folder of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.processes import all_pids, read_of

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
ADMIN_PASSWORD = "correct-horse-battery"


class LiveServer:
    """One running service. `url` answers when `start()` returns; `stop()` ends it and all it started."""

    application = "wsgi:app"

    def __init__(self, folder: Path, *, workers: int = 1, **environment: str) -> None:
        self.folder = folder
        self.workers = workers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))},
            "INSTANCE_DIR": str(folder / "instance"),
            "DATA_DIR": str(folder / "data"),
            "MODELS_DIR": str(folder / "models"),
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "ADMIN_PASSWORD": ADMIN_PASSWORD,
            "DEFAULT_LANGUAGE": "en",
            "RATE_LIMIT_LOGIN": "1000/minute",
            # Threads of llama.cpp wait for each other without a pause, and starve where other tests run beside.
            "CPU_THREADS": "1",
            **environment,
        }

    def start(self) -> "LiveServer":
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-w", str(self.workers), self.application],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self.answers, what=f"the server to answer; its log:\n{self.read_log()[-3000:]}")
        return self

    def answers(self) -> bool:
        """Whether the web answers and its engine host too."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended:\n{self.read_log()[-3000:]}")
        try:
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(40)

    def processes(self) -> list[int]:
        """Every process that this service started and that still lives, by its folder in their environment."""
        mark = f"INSTANCE_DIR={self.environment['INSTANCE_DIR']}".encode()
        return [pid for pid in all_pids() if mark in read_of(pid, "environ")]

    def host_pids(self) -> list[int]:
        """The engine host's processes, master first."""
        return sorted(pid for pid in self.processes() if b"backend.host" in read_of(pid, "cmdline"))

    def read_log(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def login(self) -> dict[str, str]:
        """Headers of the admin."""
        answer = requests.post(
            f"{self.url}/api/v1/login", json={"username": "admin", "password": ADMIN_PASSWORD}, timeout=10
        )
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}


def wait_for(condition: Any, *, what: str, seconds: float = START_SECONDS) -> None:
    """Return as soon as *condition* holds; fail when it does not within *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def live(tmp_path: Path, chat_models: Path) -> Iterator[LiveServer]:
    """A running service with the starter chat model, not started yet; it is ended whatever happens."""
    (tmp_path / "models").symlink_to(chat_models)
    server = LiveServer(tmp_path)
    yield server
    if hasattr(server, "process"):
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory, chat_models: Path) -> Iterator[LiveServer]:
    """One running service under AUTH=open for all tests that only talk to it."""
    folder = tmp_path_factory.mktemp("open")
    (folder / "models").symlink_to(chat_models)
    server = LiveServer(folder, AUTH="open", RATE_LIMIT_GENERATION="10000/minute", RATE_LIMIT_DEFAULT="10000/minute")
    server.start()
    yield server
    server.stop()
