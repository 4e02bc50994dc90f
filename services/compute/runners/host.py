"""Tells the engine host that there is a job; it runs them, and looks by itself when the knock is lost."""

import logging
import threading
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from services import connections
from services.compute import wire
from services.compute.runners.base import Runner

if TYPE_CHECKING:
    from services.assemble import Services

log = logging.getLogger(__name__)


class HostRunner(Runner):
    """The web's side of the engine host's runner.

    One thread knocks, so that nobody who submits waits for the host, and a hundred jobs at once are one knock.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/jobs/knock"
        self._headers = {wire.TOKEN_HEADER: token}
        self._pool = connections.open_pool()
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def bind(self, services: "Services") -> None:
        """Nothing runs here."""

    def knock(self, lane: str | None = None) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="job-knock", daemon=True)
                self._thread.start()
        self._wanted.set()

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            try:
                connections.end(
                    self._pool.request("POST", self._url, headers=self._headers, timeout=2.0, retries=False), whole=True
                )
            except HTTPError:
                log.info("the engine host did not hear of a job; it looks by itself within a second")
