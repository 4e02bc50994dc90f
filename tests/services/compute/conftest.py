"""Houses for jobs: services over SQLite and PostgreSQL, with each runner."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.setup import migrate
from services.assemble import Services, assemble
from services.compute.jobs import Jobs
from services.contracts.jobs import JobView
from services.database import Database, open_database
from services.settings import Settings
from tests.live import wait_for
from tests.services.compute.toys import ToyRequest
from tests.source import ROOT

PATIENCE_SECONDS = 60
OWNER = "user-1"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """A database with our tables, of each kind."""
    url = settings.sqlalchemy_url if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_database(url)
    migrate(opened.engine)
    yield opened
    opened.close()


@dataclass
class House:
    """Services with a runner that works."""

    services: Services
    folder: Path

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

    def lines(self, path: Path) -> list[str]:
        return path.read_text().splitlines() if path.exists() else []


def environment(settings: Settings) -> dict[str, str]:
    """*settings* as another process reads them."""
    told = settings.model_dump(mode="json", exclude_unset=True)
    return {"PATH": os.environ["PATH"]} | {name.upper(): str(value) for name, value in told.items()}


@pytest.fixture
def start_process(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a Python module in a process of its own, with the test's settings."""
    started = []

    def start(*arguments: str, **changes: object) -> subprocess.Popen[bytes]:
        env = environment(settings.model_copy(update=changes))
        with (tmp_path / "process.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=env, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def open_house(settings: Settings, place: str) -> House:
    services = assemble(settings, place=place)  # type: ignore[arg-type]
    migrate(services.database.engine)
    return House(services, settings.instance_dir)


@pytest.fixture(params=["inline-sqlite", "thread-sqlite", "thread-postgresql", "celery-sqlite", "celery-postgresql"])
def house(request: pytest.FixtureRequest, settings: Settings) -> Iterator[House]:
    """A house of each kind."""
    runner, _, kind = request.param.partition("-")
    if kind == "postgresql":
        settings.database_url = request.getfixturevalue("postgres_url")
        settings.__dict__.pop("sqlalchemy_url", None)
    settings.job_runner = runner
    if runner == "celery":
        settings.redis_url = request.getfixturevalue("redis_url")
        start = request.getfixturevalue("start_process")
        start("celery", "-A", "tests.services.compute.toy_worker", "worker", "-Q", "gpu,cpu,io", "--without-gossip")
    opened = open_house(settings, "web" if runner == "celery" else "inline")
    yield opened
    opened.services.close()


@pytest.fixture
def thread_house(settings: Settings) -> Iterator[House]:
    """A house with the default runner over SQLite."""
    settings.job_runner = "thread"
    opened = open_house(settings, "inline")
    yield opened
    opened.services.close()
