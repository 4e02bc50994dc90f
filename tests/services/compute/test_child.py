"""Jobs in a process of their own: whatever becomes of the process, the job ends with a reason and nothing is left."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from services.contracts.jobs import JobView
from services.settings import Settings
from tests.live import wait_for
from tests.processes import is_alive
from tests.services.compute.conftest import House, open_house


def reason(job: JobView) -> str:
    assert job.error is not None
    return str(job.error["attributes"]["details"]["reason"])


def child_of(path: Path) -> int:
    """The pid that a toy wrote down."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), what="the child to begin")
    return int(path.read_text().split()[-1])


def test_a_child_answers_and_its_progress_comes_through(thread_house: House, tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    job = thread_house.run("nurse", child="walk", number=5, gate=tmp_path / "gate", runs=tmp_path / "runs")
    assert job.status == "completed"
    assert thread_house.jobs.result(job).number == 5
    assert {event.type for event in thread_house.jobs.events(job.id)} >= {"log", "artifact"}
    assert child_of(tmp_path / "runs") != os.getpid()


def test_an_error_of_the_child_is_the_job_s(thread_house: House) -> None:
    job = thread_house.run("nurse", child="stumble", failures=9)
    assert job.status == "failed" and job.error and job.error["class"] == "UpstreamBusy"


def test_a_child_out_of_memory_says_so(thread_house: House, tmp_path: Path) -> None:
    job = thread_house.run("nurse", child="hoard", memory_mb=2048, runs=tmp_path / "runs")
    assert (job.status, reason(job)) == ("failed", "out_of_memory")
    assert not is_alive(child_of(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGKILL, "out_of_memory"), (signal.SIGSEGV, "child_died")], ids=["kill", "segfault"]
)
def test_a_child_that_crashes_ends_its_job_alone(thread_house: House, number: int, told: str) -> None:
    job = thread_house.run("nurse", child="die", number=number)
    assert (job.status, reason(job), job.metrics) == ("failed", told, {"loss": None})
    lines = [event.data["line"] for event in thread_house.jobs.events(job.id) if event.type == "log"]
    assert lines == ["the last words"]
    assert thread_house.run("echo").status == "completed"


def test_a_child_that_ignores_every_word_is_killed(thread_house: House, tmp_path: Path) -> None:
    job = thread_house.submit("nurse", child="stubborn", runs=tmp_path / "runs")
    pid = child_of(tmp_path / "runs")
    thread_house.jobs.cancel(job.id)
    assert thread_house.end_of(job).status == "canceled"
    assert not is_alive(pid)


def test_a_child_ends_with_the_service(
    settings: Settings, tmp_path: Path, start_process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    host = start_process("tests.services.compute.toy_host", job_runner="thread")
    settings.job_runner = "thread"
    settings.engine_url = "http://127.0.0.1:9"
    house = open_house(settings, "web")
    house.submit("nurse", child="stubborn", runs=tmp_path / "runs")
    pid = child_of(tmp_path / "runs")
    host.kill()
    wait_for(lambda: not is_alive(pid), what="the child to end", seconds=5)
    house.services.close()
