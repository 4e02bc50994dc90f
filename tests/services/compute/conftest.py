"""Houses for jobs: services over SQLite and PostgreSQL, with each runner."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pgserver
import psycopg
import pytest
from sqlalchemy import select

from backend.setup import migrate
from services.assemble import Services, assemble
from services.compute.jobs import Jobs
from services.contracts.jobs import JobView
from services.settings import Settings
from services.tables.jobs import JobTable
from tests.live import wait_for
from tests.services.compute.toys import ToyRequest
from tests.source import ROOT

PATIENCE_SECONDS = 60
OWNER = "user-1"
CELERY = ["celery", "-A", "tests.services.compute.toy_worker", "worker", "-Q", "gpu,cpu,io", "--without-gossip"]


@dataclass
class House:
    """Services with a runner that works."""

    services: Services

    @property
    def jobs(self) -> Jobs:
        return self.services.jobs

    def submit(self, name: str, *, owner: str = OWNER, **fields: object) -> JobView:
        return self.jobs.submit(f"toys.{name}", ToyRequest(**fields), owner=owner)

    def run(self, name: str, *, owner: str = OWNER, **fields: object) -> JobView:
        """The job, ended."""
        return self.end_of(self.submit(name, owner=owner, **fields))

    def end_of(self, job: JobView) -> JobView:
        ended = self.jobs.wait(job.id, PATIENCE_SECONDS)
        assert ended.ended, f"{ended.kind} is still {ended.status}"
        return ended

    def until(self, job: JobView, status: str) -> JobView:
        wait_for(lambda: self.jobs.show(job.id).status == status, what=f"{job.kind} to be {status}")
        return self.jobs.show(job.id)

    def memory(self, job: JobView) -> object:
        """What the job keeps for its next attempt."""
        with self.services.database.read() as session:
            return session.scalar(select(JobTable.memory).where(JobTable.id == job.id))

    def lines(self, path: Path) -> list[str]:
        return path.read_text().splitlines() if path.exists() else []


def environment(settings: Settings) -> dict[str, str]:
    """*settings* as another process reads them."""
    told = settings.model_dump(mode="json", exclude_unset=True)
    return {"PATH": os.environ["PATH"]} | {name.upper(): str(value) for name, value in told.items()}


@contextmanager
def processes(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts a Python module in a process of its own, with these settings; all end with the block."""
    started = []

    def start(*arguments: str, **changes: object) -> subprocess.Popen[bytes]:
        env = environment(settings.model_copy(update=changes))
        with (settings.instance_dir / "process.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=env, stdout=log, stderr=log)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.fixture
def start_process(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    with processes(settings) as start:
        yield start


def open_house(settings: Settings, place: str) -> House:
    services = assemble(settings, place=place)  # type: ignore[arg-type]
    migrate(services.database.engine)
    return House(services)


def postgres(server: pgserver.PostgresServer, name: str) -> str:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server.get_uri(name)


@pytest.fixture(
    scope="module", params=["inline-sqlite", "thread-sqlite", "thread-postgresql", "celery-sqlite", "celery-postgresql"]
)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of each kind, for all tests of a module; with Celery, a real worker process runs its jobs."""
    runner, _, kind = request.param.partition("-")
    folder = tmp_path_factory.mktemp(request.param)
    settings = Settings(
        _env_file=None,
        secret_key="a-secret-that-only-tests-use-0123456789",
        instance_dir=folder,
        data_dir=folder / "data",
        models_dir=folder / "models",
        job_runner=runner,
    )
    if kind == "postgresql":
        server = request.getfixturevalue("postgres_server")
        settings = settings.model_copy(update={"database_url": postgres(server, folder.name)})
    if runner == "celery":
        port = request.getfixturevalue("redis_server")
        settings = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{port}/{len(kind)}"})
    with processes(settings) as start:
        opened = open_house(settings, "web" if runner == "celery" else "inline")
        if runner == "celery":
            start(*CELERY)
        yield opened
        opened.services.close()


@pytest.fixture
def thread_house(settings: Settings) -> Iterator[House]:
    """A house with the default runner over SQLite."""
    opened = open_house(settings.model_copy(update={"job_runner": "thread"}), "inline")
    yield opened
    opened.services.close()
