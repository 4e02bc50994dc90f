"""How many who ask one provider at once wait together when it says that it is busy."""

import random
import threading
import time

from services.compute.progress import Job
from services.errors import UpstreamBusy

# A provider that took nothing for so long is given up.
MOST_BUSY_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 30.0
LOOK_SECONDS = 0.1


class Pace:
    """A gate before a provider, shared by threads: one refusal holds all back, as long as it asks for."""

    def __init__(self, *, most_busy_seconds: float = MOST_BUSY_SECONDS) -> None:
        self._most_busy_seconds = most_busy_seconds
        self._lock = threading.Lock()
        self._open_at = 0.0
        self._busy_since: float | None = None
        self._refusals = 0

    def wait(self, job: Job) -> None:
        """Return when the provider may be asked. Raises Cancelled."""
        while (left := self._open_at - time.monotonic()) > 0:
            job.check()
            time.sleep(min(left, LOOK_SECONDS))
        job.check()

    def answered(self) -> None:
        """The provider took a picture: what was refused before counts no more."""
        with self._lock:
            self._busy_since, self._refusals = None, 0

    def refused(self, error: UpstreamBusy) -> None:
        """Hold everybody back; raises *error* when the provider has been busy for too long."""
        now = time.monotonic()
        with self._lock:
            self._busy_since = self._busy_since or now
            doubled = min(2.0**self._refusals, LONGEST_PAUSE_SECONDS) * random.uniform(0.75, 1.25)
            pause = doubled if error.retry_after_seconds is None else error.retry_after_seconds
            if now + pause - self._busy_since > self._most_busy_seconds:
                raise error
            # Those who were on their way when the gate closed say the same once more, which is one refusal.
            if now >= self._open_at:
                self._refusals += 1
            self._open_at = max(self._open_at, now + pause)
