"""`make bench-jobs`: empty jobs through the thread runner, on SQLite and on PostgreSQL.

    python -m tests.bench.jobs [--jobs 2000] [--clients 32]

Jobs a second from the first submit to the last end, the wait of a submit with many clients at once, and
the time from a submit to the start of its job when nothing else runs.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import pgserver
from pydantic import BaseModel
from sqlalchemy import func, select

from backend.setup import migrate
from services.assemble import Services, assemble
from services.compute.registry import function
from services.domains import accounts
from services.settings import Settings
from services.tables.jobs import JobTable
from tests.bench import report

IDLE_JOBS = 40
LONGEST_SECONDS = 120

started: dict[int, float] = {}


class EmptyRequest(BaseModel):
    """Nothing to do but to note the time."""

    number: int


@function(lane="io")
def note(request: EmptyRequest, *, services: Services) -> int:
    """The number that came, and when it came."""
    started[request.number] = time.perf_counter()
    return request.number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    figures = {}
    for name in ("SQLite", "PostgreSQL"):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, database(name, Path(folder)) as url:
            figures[name] = measure(url, Path(folder), options.jobs, options.clients)
    labels = list(figures["SQLite"])
    rows = [[label, *(report.shown(figures[name][label]) for name in figures)] for label in labels]
    print(report.table(["", *figures], rows))


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of that kind."""
    if name == "SQLite":
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    with tempfile.TemporaryDirectory(prefix="bench-pg-") as data:
        server = pgserver.get_server(data, cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


def measure(url: str, folder: Path, jobs: int, clients: int) -> dict[str, float]:
    """The figures over one database."""
    settings = Settings(
        _env_file=None, database_url=url, instance_dir=folder, data_dir=folder, secret_key="b" * 40, job_runner="thread"
    )
    services = assemble(settings, place="host")
    try:
        migrate(services.database.engine)
        accounts.ensure_admin(services=services)
        services.jobs.runner.start()
        return {**idle(services), **loaded(services, jobs, clients)}
    finally:
        services.close()


def idle(services: Services) -> dict[str, float]:
    """How long a job waits for its start when nothing else runs."""
    waits = []
    for number in range(IDLE_JOBS):
        began = time.perf_counter()
        job = services.jobs.submit("jobs.note", EmptyRequest(number=number), owner="anonymous")
        services.jobs.wait(job.id, LONGEST_SECONDS)
        waits.append((started[number] - began) * 1000)
    return {"submit to start, idle, p50 ms": median(waits), "submit to start, idle, max ms": max(waits)}


def loaded(services: Services, jobs: int, clients: int) -> dict[str, float]:
    """Jobs a second, and how long a submit takes, with *clients* that submit at once."""
    waits: list[float] = []
    began = time.perf_counter()

    def submit(client: int) -> None:
        for number in range(client, jobs, clients):
            at = time.perf_counter()
            services.jobs.submit("jobs.note", EmptyRequest(number=number), owner=f"user-{client}")
            waits.append((time.perf_counter() - at) * 1000)

    threads = [threading.Thread(target=submit, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    submitted = time.perf_counter() - began
    wait_until_done(services, jobs + IDLE_JOBS)
    took = time.perf_counter() - began
    return {
        "jobs/s, submit to end": jobs / took,
        "submits/s": jobs / submitted,
        f"submit, {clients} clients, p50 ms": median(waits),
        f"submit, {clients} clients, p99 ms": quantiles(waits, n=100)[98],
    }


def wait_until_done(services: Services, wanted: int) -> None:
    """Return when *wanted* jobs are completed."""
    deadline = time.monotonic() + LONGEST_SECONDS
    done = select(func.count()).select_from(JobTable).where(JobTable.status == "completed")
    while time.monotonic() < deadline:
        with services.database.read() as session:
            if (session.scalar(done) or 0) >= wanted:
                return
        time.sleep(0.05)
    raise SystemExit(f"{wanted} jobs had not ended after {LONGEST_SECONDS} s")


if __name__ == "__main__":
    # The module's own name is part of the function's: `jobs.note`, wherever it is run from.
    from tests.bench import jobs as named

    named.main()
