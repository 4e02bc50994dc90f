"""Real processes die, disks fill, connections break: no job is lost or done twice, and each has its reason."""

import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from services.compute.runners.thread import ThreadRunner
from services.contracts.jobs import JobView
from services.settings import Settings
from tests.live import wait_for
from tests.services.compute.conftest import CELERY, House, open_house

Start = Callable[..., subprocess.Popen[bytes]]
HOST = "tests.services.compute.toy_host"


@pytest.fixture
def web(settings: Settings) -> Iterator[House]:
    """The side that submits; an engine host of its own is started by the test."""
    settings.job_runner = "thread"
    settings.engine_url = "http://127.0.0.1:9"
    house = open_house(settings, "web")
    yield house
    house.services.close()


def reason(job: JobView) -> str:
    assert job.error is not None
    return str(job.error["attributes"]["details"]["reason"])


def attempts(path: Path) -> list[int]:
    return [int(line.split()[1]) for line in path.read_text().splitlines()]


def test_a_job_of_a_killed_host_is_done_by_the_next(web: House, tmp_path: Path, start_process: Start) -> None:
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    host = start_process(HOST)
    job = web.submit("walk", gate=gate, runs=runs)
    web.until(job, "running")
    wait_for(runs.exists, what="the job to begin")
    host.kill()
    gate.touch()
    start_process(HOST)
    ended = web.end_of(job)
    assert (ended.status, ended.attempt) == ("completed", 2)
    assert attempts(runs) == [1, 2]
    told = [event.data for event in web.jobs.events(job.id) if event.type == "status"]
    assert told[2]["error"]["attributes"]["details"] == {"reason": "process_died"}


def test_what_a_killed_job_had_paid_for_is_not_paid_for_again(web: House, tmp_path: Path, start_process: Start) -> None:
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    host = start_process(HOST)
    job = web.submit("pay", gate=gate, runs=runs)
    wait_for(lambda: web.memory(job) == {"receipt": 1}, what="the job to pay")
    host.kill()
    gate.touch()
    start_process(HOST)
    ended = web.end_of(job)
    assert (ended.status, ended.attempt, ended.result) == ("completed", 2, {"number": 1})
    assert attempts(runs) == [1]


def test_a_killed_job_s_files_are_not_kept_beside_the_new(web: House, tmp_path: Path, start_process: Start) -> None:
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    host = start_process(HOST)
    job = web.submit("draw", gate=gate, runs=runs)
    wait_for(runs.exists, what="the job to begin")
    host.kill()
    gate.touch()
    start_process(HOST)
    assert web.end_of(job).attempt == 2
    (file,) = web.services.files.of_job(job.id)
    assert list(file.path.parent.iterdir()) == [file.path]


def test_a_job_with_one_attempt_fails_with_the_reason(web: House, tmp_path: Path, start_process: Start) -> None:
    host = start_process(HOST)
    job = web.submit("once", gate=tmp_path / "gate")
    web.until(job, "running")
    host.kill()
    host.wait()
    start_process(HOST)
    ended = web.end_of(job)
    assert (ended.status, reason(ended)) == ("failed", "process_died")


def test_a_host_that_stops_hands_its_jobs_back(web: House, tmp_path: Path, start_process: Start) -> None:
    host = start_process(HOST)
    job = web.submit("once", gate=tmp_path / "gate")
    web.until(job, "running")
    host.send_signal(signal.SIGTERM)
    assert host.wait(10) == 0
    shown = web.jobs.show(job.id)
    assert (shown.status, shown.attempt) == ("queued", 0)
    (tmp_path / "gate").touch()
    start_process(HOST)
    assert web.end_of(job).status == "completed"


def test_two_hosts_never_run_one_job(web: House, tmp_path: Path, start_process: Start) -> None:
    start_process(HOST)
    start_process(HOST)
    runs = tmp_path / "runs"
    jobs = [web.submit("echo", number=number, runs=runs) for number in range(100)]
    assert {web.end_of(job).status for job in jobs} == {"completed"}
    assert sorted(int(line.split()[0]) for line in web.lines(runs)) == list(range(100))


def test_a_full_disk_is_the_job_s_reason(web: House, tmp_path: Path, start_process: Start) -> None:
    start_process(HOST, str(16 * 2**20))
    job = web.run("fill", gate=tmp_path / "file")
    assert (job.status, reason(job)) == ("failed", "disk_full")
    assert web.run("echo").status == "completed"


def test_the_end_of_a_job_waits_for_room_in_the_database(web: House, tmp_path: Path, start_process: Start) -> None:
    host, gate, runs = start_process(HOST), tmp_path / "gate", tmp_path / "runs"
    job = web.submit("walk", gate=gate, runs=runs)
    wait_for(runs.exists, what="the job to begin")
    # What is written to the end of a long log fails; the process's own log is short.
    fill_database(web)
    resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    gate.touch()
    log = web.services.settings.instance_dir / "process.log"
    wait_for(lambda: "the end of a job could not be written" in log.read_text(), what="a failed write")
    assert web.jobs.show(job.id).status == "running"
    resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ended = web.end_of(job)
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert attempts(runs) == [1]


def fill_database(house: House) -> None:
    """Let SQLite's write-ahead log grow."""
    many = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) SELECT hex(randomblob(64)) AS x"
    )
    with house.services.database.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE filler AS {many} FROM n")


def test_a_killed_celery_worker_s_job_is_done_by_the_next(
    settings: Settings, redis_url: str, tmp_path: Path, start_process: Start
) -> None:
    settings.job_runner, settings.redis_url = "celery", redis_url
    house = open_house(settings, "web")
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    worker = start_process(*CELERY)
    job = house.submit("walk", gate=gate, runs=runs)
    wait_for(runs.exists, what="the job to begin")
    worker.kill()
    worker.wait()
    waiting = house.submit("walk", gate=gate, number=2)
    gate.touch()
    start_process(*CELERY)
    assert (house.end_of(job).attempt, house.end_of(waiting).attempt) == (2, 1)
    assert attempts(runs) == [1, 2]
    house.services.close()


def test_without_redis_a_job_is_kept_and_done_later(
    settings: Settings, redis_url: str, tmp_path: Path, start_process: Start
) -> None:
    settings.job_runner, settings.redis_url = "celery", "redis://127.0.0.1:9/0"
    house = open_house(settings, "web")
    job = house.submit("echo", number=3)
    assert house.jobs.show(job.id).status == "queued"
    start_process(*CELERY, redis_url=redis_url)
    assert house.end_of(job).status == "completed"
    house.services.close()


def test_a_job_outlives_the_connection_to_the_database(settings: Settings, postgres_url: str, tmp_path: Path) -> None:
    settings.database_url = postgres_url
    settings.__dict__.pop("sqlalchemy_url", None)
    settings.job_runner = "thread"
    house = open_house(settings, "inline")
    gate = tmp_path / "gate"
    job = house.submit("walk", gate=gate, runs=tmp_path / "runs")
    house.until(job, "running")
    for _ in range(3):
        end_connections(postgres_url)
    gate.touch()
    for _ in range(3):
        end_connections(postgres_url)
    ended = house.end_of(job)
    assert (ended.status, ended.attempt) == ("completed", 1)
    assert attempts(tmp_path / "runs") == [1]
    assert house.run("echo").status == "completed"
    house.services.close()


def end_connections(url: str) -> None:
    """End all other connections to the database, as a restart of it does."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


def test_a_job_that_never_answers_ends_and_its_lane_goes_on(settings: Settings, tmp_path: Path) -> None:
    settings.job_runner = "thread"
    settings.lane_io = 1
    house = open_house(settings, "inline")
    runner = ThreadRunner(grace_seconds=0.2)
    runner.bind(house.services)
    house.jobs.runner = runner
    gate, runs = tmp_path / "gate", tmp_path / "runs"
    job = house.submit("hang", gate=gate, runs=runs)
    ended = house.end_of(job)
    assert (ended.status, reason(ended)) == ("failed", "timed_out")
    assert house.run("echo").status == "completed"
    gate.touch()
    assert house.jobs.show(job.id).status == "failed"
    house.services.close()


def test_a_runner_that_lost_its_job_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    settings.job_runner = "thread"
    house = open_house(settings, "inline")
    runner = ThreadRunner(dead_seconds=0.6)
    runner.bind(house.services)
    house.jobs.runner = runner
    job = house.submit("walk", gate=tmp_path / "gate")
    house.until(job, "running")
    with house.services.database.write() as session:
        session.connection().exec_driver_sql("UPDATE jobs SET runner = 'another', heartbeat = '2999-01-01'")
    wait_for(lambda: runner.worker.running == 0, what="the old runner to let go")
    assert house.jobs.show(job.id).status == "running"
    house.services.close()
