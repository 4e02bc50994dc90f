"""Submits empty jobs as a web worker does, in greenlets, and prints how long that took: one JSON object.

    python -m gevent.monkey --module tests.bench.submitter JOBS CLIENTS

The settings come from the environment; the engine host at ENGINE_URL runs the jobs.
"""

import sys
import threading
import time
from statistics import median, quantiles

import orjson
from sqlalchemy import func, select

from backend.garbage import spare_what_is_loaded
from services.assemble import Services, assemble
from services.errors import Unavailable
from services.settings import Settings
from services.tables.jobs import JobTable
from tests.bench.empty_job import NAME, EmptyRequest

IDLE_JOBS = 40
LONGEST_SECONDS = 120


def main() -> None:
    jobs, clients = int(sys.argv[1]), int(sys.argv[2])
    services = assemble(Settings(_env_file=None), place="web")
    try:
        wait_for_host(services)
        wait_for(services, services.jobs.submit(NAME, EmptyRequest(), owner="anonymous").id)
        spare_what_is_loaded()
        sys.stdout.buffer.write(orjson.dumps({**idle(services), **loaded(services, jobs, clients)}))
    finally:
        services.close()


def wait_for_host(services: Services) -> None:
    """Return when the host answers: its socket is open before it has made the tables."""
    began = time.monotonic()
    while True:
        try:
            services.calls.health()
            return
        except Unavailable:
            if time.monotonic() - began > LONGEST_SECONDS:
                raise


def wait_for(services: Services, job_id: str) -> float:
    """When the job began."""
    ended = services.jobs.wait(job_id, LONGEST_SECONDS)
    if ended.status != "completed":
        raise SystemExit(f"a job ended as {ended.status}: {ended.error}")
    return float(services.jobs.show(job_id).result)


def idle(services: Services) -> dict[str, float]:
    """How long a job waits for its start when nothing else runs."""
    waits = []
    for _ in range(IDLE_JOBS):
        began = time.monotonic()
        job = services.jobs.submit(NAME, EmptyRequest(), owner="anonymous")
        waits.append((wait_for(services, job.id) - began) * 1000)
    return {"submit to start, idle, p50 ms": median(waits), "submit to start, idle, max ms": max(waits)}


def loaded(services: Services, jobs: int, clients: int) -> dict[str, float]:
    """Jobs a second, and how long a submit takes, with *clients* that submit at once."""
    waits: list[float] = []
    before = completed(services)
    began = time.monotonic()

    def submit(client: int) -> None:
        for _ in range(client, jobs, clients):
            at = time.monotonic()
            services.jobs.submit(NAME, EmptyRequest(), owner=f"user-{client}")
            waits.append((time.monotonic() - at) * 1000)

    threads = [threading.Thread(target=submit, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    submitted = time.monotonic() - began
    while completed(services) < before + jobs:
        if time.monotonic() - began > LONGEST_SECONDS:
            raise SystemExit(f"{jobs} jobs had not ended after {LONGEST_SECONDS} s")
        time.sleep(0.05)
    took = time.monotonic() - began
    return {
        "jobs/s, submit to end": jobs / took,
        "submits/s": jobs / submitted,
        f"submit, {clients} clients, p50 ms": median(waits),
        f"submit, {clients} clients, p99 ms": quantiles(waits, n=100)[98],
    }


def completed(services: Services) -> int:
    done = select(func.count()).select_from(JobTable).where(JobTable.status == "completed")
    with services.database.read() as session:
        return session.scalar(done) or 0


if __name__ == "__main__":
    main()
