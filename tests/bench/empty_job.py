"""A function that does nothing, and an engine host that knows it: `gunicorn 'tests.bench.empty_job:host()'`."""

import time

from pydantic import BaseModel

from backend.host import Host, create_host
from services.assemble import Services
from services.compute.registry import function

NAME = "empty_job.note"


class EmptyRequest(BaseModel):
    """Nothing to do but to note the time."""


@function(lane="io")
def note(request: EmptyRequest, *, services: Services) -> float:
    """When it came, by a clock that all processes of the machine share."""
    return time.monotonic()


def host() -> Host:
    """The engine host's application."""
    return create_host()
