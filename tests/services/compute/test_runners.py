"""One suite for every runner, over SQLite and PostgreSQL: whatever runs a job, the same becomes of it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from services.errors import NotFound, ServiceError, UpstreamBusy
from services.tables.jobs import JobTable
from tests.services.compute.conftest import House


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def gate(house: House, tmp_path: Path) -> Path:
    """A file for which jobs wait. The inline runner would wait for it in `submit`, so there it is open."""
    path = tmp_path / "gate"
    if house.jobs.runner.at_once:
        path.touch()
    return path


def test_a_job_runs_and_keeps_its_answer(house: House) -> None:
    job = house.run("echo", number=7)
    assert (job.status, job.progress, job.attempt, job.error) == ("completed", 100, 1, None)
    assert job.created_at <= job.started_at <= job.finished_at
    assert house.jobs.result(job).number == 7
    told = [event.data["status"] for event in house.jobs.events(job.id) if event.type == "status"]
    assert told == ["queued", "running", "completed"]


def test_what_a_job_tells_is_kept(house: House, gate: Path) -> None:
    job = house.submit("walk", gate=gate)
    house.until(job, "running") if not gate.exists() else None
    gate.touch()
    house.end_of(job)
    events = {event.type: event.data for event in house.jobs.events(job.id)}
    assert events["log"] == {"line": "on the way"}
    assert events["artifact"] == {"name": "map.png", "url": "/outputs/images/map.png"}


def test_a_fault_of_ours_is_told_without_its_text(house: House) -> None:
    job = house.run("crash")
    assert job.status == "failed" and job.attempt == 1
    assert "private" not in str(job.error) and "ValueError" not in str(job.error)
    with pytest.raises(ServiceError) as caught:
        house.jobs.result(job)
    assert caught.value.details == {"reason": "internal"}
    assert "log" in caught.value.say("en") and "日志" in caught.value.say("zh")


def test_a_busy_provider_is_asked_again_and_the_last_error_stays(house: House) -> None:
    job = house.run("stumble", failures=1)
    assert (job.status, job.attempt) == ("completed", 2)
    assert house.jobs.result(job).number == 2


def test_a_job_without_attempts_left_fails_with_the_reason(house: House) -> None:
    job = house.run("stumble", failures=9)
    assert (job.status, job.attempt) == ("failed", 3)
    with pytest.raises(UpstreamBusy, match="busy") as caught:
        house.jobs.result(job)
    assert caught.value.retry_after_seconds == 0.1


def test_a_running_job_is_cancelled(house: House, gate: Path) -> None:
    if gate.exists():
        pytest.skip("an inline job has ended when `submit` returns")
    job = house.submit("walk", gate=gate)
    house.until(job, "running")
    assert house.jobs.cancel(job.id).cancel_requested
    assert house.end_of(job).status == "canceled"


def test_a_job_that_waits_for_a_socket_is_cancelled(house: House, gate: Path, tmp_path: Path, silent_port: int) -> None:
    if gate.exists():
        pytest.skip("an inline job has ended when `submit` returns")
    runs = tmp_path / "runs"
    job = house.submit("listen", port=silent_port, runs=runs)
    house.until(job, "running")
    house.jobs.cancel(job.id)
    assert house.end_of(job).status == "canceled"
    assert len(house.lines(runs)) == 1


def test_what_a_job_forgets_is_made_anew(house: House, tmp_path: Path) -> None:
    job = house.run("pay", failures=1, runs=tmp_path / "runs")
    assert (job.status, job.attempt, job.result) == ("completed", 2, {"number": 2})
    assert house.memory(job) == {"receipt": 2}


def test_a_job_that_is_started_again_remembers_nothing(house: House, tmp_path: Path) -> None:
    job = house.run("pay", failures=3, runs=tmp_path / "runs")
    assert job.status == "failed"
    house.jobs.retry(job.id)
    assert house.memory(job) in (None, {"receipt": 4})
    assert house.end_of(job).result == {"number": 4}


def test_a_failed_job_is_started_again(house: House) -> None:
    job = house.run("stumble", failures=3)
    assert job.status == "failed"
    house.jobs.retry(job.id)
    again = house.end_of(job)
    assert (again.status, again.attempt, again.error) == ("completed", 4, None)


def test_a_secret_reaches_the_function_and_not_the_row(house: House) -> None:
    job = house.run("reveal", key="sk-0123456789")
    assert house.jobs.result(job).number == 13
    with house.services.database.read() as session:
        stored = session.scalar(select(JobTable.request).where(JobTable.id == job.id))
    assert stored["key"] and "0123456789" not in str(stored)


def test_each_of_many_jobs_runs_once(house: House, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    jobs = [house.submit("echo", number=number, owner=f"user-{number % 3}", runs=runs) for number in range(40)]
    assert {house.end_of(job).status for job in jobs} == {"completed"}
    assert sorted(int(line.split()[0]) for line in house.lines(runs)) == list(range(40))


def test_another_owner_s_job_is_not_there(house: House) -> None:
    job = house.run("echo")
    with pytest.raises(NotFound):
        house.jobs.show(job.id, owner="user-2")
    with pytest.raises(NotFound):
        house.jobs.cancel(job.id, owner="user-2")
    assert house.jobs.show(job.id, owner=job.owner).id == job.id
