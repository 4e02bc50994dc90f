"""The Celery worker: `celery -A backend.worker worker -Q gpu,cpu,io`, on any number of machines.

It runs jobs in threads of one process, so a model is loaded once for all of them. `DATA_DIR` and
`MODELS_DIR` lie on storage that the machines share.
"""

from typing import Any, cast

from celery.signals import worker_ready, worker_shutdown

from backend.logs import set_up_logs
from backend.setup import prepare
from services.assemble import assemble
from services.compute.runners.celery import TASK, CeleryRunner
from services.settings import Settings

settings = Settings(job_runner="celery")
if not settings.redis_url:
    raise SystemExit("Celery workers need REDIS_URL, the same as the web's; set it and start again")
set_up_logs(settings)
services = assemble(settings, place="worker")
runner = cast(CeleryRunner, services.jobs.runner)
app = runner.celery


@app.task(name=TASK)
def work(lane: str) -> None:
    """Run the next job of *lane*."""
    runner.work(lane)


@worker_ready.connect
def begin(**_facts: Any) -> None:
    """Bring the tables up to date, take up what was left, and ring for what waits."""
    prepare(services)
    runner.start()


@worker_shutdown.connect
def end(**_facts: Any) -> None:
    """Write down what waits; the jobs that ran have ended by now."""
    services.close()
