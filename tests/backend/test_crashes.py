"""`kill -9` of the whole service in the middle of its work: it starts again, and every job has its picture once."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fakes.vendor import VendorFake
from tests.live import LiveServer, wait_for

pytestmark = pytest.mark.slow

LOCAL = {"prompt": "a cat", "model_id": "tiny-sd", "width": 64, "height": 64, "num_inference_steps": 300, "seed": 7}
CLOUD = {"prompt": "a cat", "model_id": "wan2.2-t2i-flash", "width": 512, "height": 512}
FOREVER = 10**6


@pytest.fixture
def server(tmp_path: Path, tiny_models: Path, dashscope_fake: VendorFake) -> Iterator[LiveServer]:
    """A service with a tiny pipeline of its own and one vendor, whose tasks go on until the test lets them end."""
    (tmp_path / "models").symlink_to(tiny_models)
    running = LiveServer(
        tmp_path,
        workers=2,
        AUTH="open",
        OMP_NUM_THREADS="1",
        DASHSCOPE_API_KEY=dashscope_fake.key,
        DASHSCOPE_BASE_URL=dashscope_fake.base_url,
        ALLOWED_UPSTREAMS="127.0.0.1",
    )
    dashscope_fake.polls_running = FOREVER  # type: ignore[attr-defined]
    running.start()
    yield running
    running.stop(signal.SIGKILL)


def start(server: LiveServer, body: dict[str, Any]) -> str:
    answer = requests.post(f"{server.url}/api/text-to-image/generate", json=body, timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (200, "processing"), answer.text
    return str(answer.json()["task_id"])


def until_it_paints(server: LiveServer, task: str) -> None:
    """Return when the task's stream of events has told of a first step."""
    with requests.get(f"{server.url}/api/jobs/{task}/events", stream=True, timeout=60) as stream:
        assert any(line == b"event: progress" for line in stream.iter_lines())


def end_of(server: LiveServer, task: str) -> dict[str, Any]:
    job = requests.get(f"{server.url}/api/jobs/{task}", params={"wait": 60}, timeout=70).json()
    assert job["status"] == "completed", job
    return dict(job)


def picture(server: LiveServer, task: str) -> str:
    """The name of the task's picture, which can be had."""
    url = requests.get(f"{server.url}/api/text-to-image/status/{task}", timeout=10).json()["image_url"]
    assert requests.get(server.url + url, timeout=10).content.startswith(b"\x89PNG")
    return str(url).rpartition("/")[2]


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_killed_service_goes_on_where_it_was(server: LiveServer, dashscope_fake: VendorFake) -> None:
    local, cloud = start(server, LOCAL), start(server, CLOUD)
    until_it_paints(server, local)
    wait_for(lambda: dashscope_fake.requests_to("/tasks/"), what="the vendor's task to be asked after")
    kill(server.processes())
    server.process.wait(10)
    wait_for(lambda: not server.processes(), what="every process to be gone")
    dashscope_fake.polls_running = 0  # type: ignore[attr-defined]
    server.start()
    assert [end_of(server, task)["attempt"] for task in (local, cloud)] == [2, 2]
    kept = {picture(server, task) for task in (local, cloud)}
    assert {path.name for path in (server.folder / "data").rglob("*") if path.is_file()} == kept
    assert len(dashscope_fake.requests_to("/services/", "POST")) == 1
    history = requests.get(f"{server.url}/api/history", timeout=10).json()
    assert sorted(url for row in history["history"] for url in row["image_urls"]) == sorted(
        f"/outputs/images/{name}" for name in kept
    )


def test_a_job_goes_on_when_all_web_workers_are_killed(server: LiveServer) -> None:
    task = start(server, LOCAL)
    until_it_paints(server, task)
    workers = [pid for pid in server.processes() if pid not in {server.process.pid, *server.host_pids()}]
    assert len(workers) == 2
    kill(workers)
    wait_for(server.answers, what="new web workers")
    assert end_of(server, task)["attempt"] == 1
    assert picture(server, task)


def test_a_job_of_a_killed_host_is_done_by_the_next(server: LiveServer) -> None:
    task = start(server, LOCAL)
    until_it_paints(server, task)
    kill(server.host_pids())
    assert end_of(server, task)["attempt"] == 2
    assert picture(server, task)
