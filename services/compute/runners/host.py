"""Tells the engine host that there is a job; it runs them, and looks by itself when the knock is lost."""

import logging
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import orjson

from services.compute import wire
from services.compute.host_client import HostClient
from services.compute.notices import Notices
from services.compute.runners.base import Runner
from services.errors import ServiceError
from services.threads import LateThread

if TYPE_CHECKING:
    from services.assemble import Services

KNOCK_SECONDS = 2.0
# The host says every half second that it is there.
SILENT_SECONDS = 10.0
# Nobody waits for a job any more: the host has a thread less to hold.
UNASKED_SECONDS = 30.0
AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class HostRunner(Runner):
    """The web's side of the engine host's runner.

    One thread knocks, so that nobody who submits waits for the host, and a hundred jobs at once are one knock.
    """

    def __init__(self, host: HostClient) -> None:
        self._host = host
        self._wanted = threading.Event()
        self._knocker = LateThread(self._run, "job-knock")

    def bind(self, services: "Services") -> None:
        self._ear = Ear(self._host, services.jobs.notices)

    def knock(self, lane: str | None = None) -> None:
        self._knocker.begin()
        self._wanted.set()

    def tells(self) -> bool:
        return self._ear.hears()

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            try:
                self._host.call(wire.KNOCK, read_seconds=KNOCK_SECONDS)
            except ServiceError:
                log.info("the engine host did not hear of a job; it looks by itself within a second")


class Ear:
    """Publishes here what the engine host says of jobs, for as long as somebody goes on asking for it."""

    def __init__(self, host: HostClient, notices: Notices) -> None:
        self._host, self._notices = host, notices
        self._asked = 0.0
        self._wanted = threading.Event()
        self._listener = LateThread(self._run, "job-ear")
        self._hears = False

    def hears(self) -> bool:
        """Whether the host is heard now; where it is not yet, a thread begins to listen."""
        self._asked = time.monotonic()
        self._listener.begin()
        self._wanted.set()
        return self._hears

    def _run(self) -> None:
        while self._wanted.wait():
            try:
                self._listen()
            except ServiceError:
                if self._hears:
                    log.info("the engine host tells of no jobs now; their rows are looked at instead")
            finally:
                self._hears = False
            if self._asked_for():
                time.sleep(AGAIN_SECONDS)
            else:
                self._wanted.clear()

    def _listen(self) -> None:
        with closing(self._host.stream(wire.NOTICES, silence_seconds=SILENT_SECONDS)) as batches:
            for batch in batches:
                self._hears = True
                for notice in orjson.loads(batch or b"[]"):
                    self._notices.publish(notice["id"], ended=notice["ended"])
                if not self._asked_for():
                    return

    def _asked_for(self) -> bool:
        return time.monotonic() - self._asked < UNASKED_SECONDS
