"""Who runs jobs: the request itself, threads of the engine host, or Celery workers; one interface."""

from typing import Literal

from services.compute.host_client import HostClient
from services.compute.runners.base import Runner
from services.compute.runners.host import HostRunner
from services.compute.runners.inline import InlineRunner
from services.compute.runners.silent import SilentRunner
from services.compute.runners.thread import ThreadRunner
from services.secrets import engine_token
from services.settings import Settings


def open_runner(settings: Settings, place: Literal["web", "host", "worker", "child", "inline"]) -> Runner:
    """The runner that `JOB_RUNNER` asks for, as it is in this *place*."""
    if place == "child":
        return SilentRunner()
    if settings.job_runner == "inline":
        return InlineRunner()
    if settings.job_runner == "celery":
        # Celery takes a while to import; who does not use it does not wait for it.
        from services.compute.runners.celery import CeleryRunner

        return CeleryRunner(settings, works=place == "worker", reaps=place in {"worker", "host"})
    if place == "web":
        return HostRunner(HostClient(settings.engine_url, engine_token(settings)))
    return ThreadRunner()
