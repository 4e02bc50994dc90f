"""What `/health` asks, and what it hears when a part does not work."""

import threading
from dataclasses import replace

from services.assemble import Services, assemble
from services.compute.runners.thread import ThreadRunner
from services.domains import health
from services.settings import Settings


def test_all_is_well(services: Services) -> None:
    assert health.check(services=services) == {"database": "ok", "job_runner": "ok", "disk": "ok"}


def test_a_runner_whose_bell_ended_is_told(settings: Settings) -> None:
    services = assemble(settings.model_copy(update={"job_runner": "thread"}), place="host")
    runner = services.jobs.runner
    assert isinstance(runner, ThreadRunner)
    runner._bell = threading.Thread(target=lambda: None)
    assert health.check(services=services)["job_runner"].startswith("failed: the thread")
    services.close()


def test_an_engine_host_that_is_away_is_told(services: Services, settings: Settings) -> None:
    away = assemble(settings.model_copy(update={"engine_url": "http://127.0.0.1:9"}), place="web")
    asked = replace(services, calls=away.calls)
    assert "engine host does not answer" in health.check(services=asked)["job_runner"]
    away.close()


def test_celery_needs_its_redis(settings: Settings, redis_url: str) -> None:
    there = settings.model_copy(update={"job_runner": "celery", "redis_url": redis_url})
    gone = settings.model_copy(update={"job_runner": "celery", "redis_url": "redis://127.0.0.1:9/0"})
    told = []
    for wanted in (there, gone):
        services = assemble(wanted, place="host")
        told.append(health.check(services=services)["job_runner"])
        services.close()
    assert told == ["ok", "failed: Redis, ConnectionError"]
