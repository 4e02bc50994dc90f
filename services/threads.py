"""Threads that a process has only once somebody needs them."""

import threading
from collections.abc import Callable


class LateThread:
    """A daemon thread named *name* that runs *work* from the first `begin()` on; safe from any thread.

    What is made before gunicorn forks its workers must not have begun: threads do not pass into the fork.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work, self._name = work, name
        self._lock = threading.Lock()
        self._begun = False

    def begin(self) -> bool:
        """Begin, at the first call; whether this was it."""
        if self._begun:
            return False
        with self._lock:
            if self._begun:
                return False
            self._begun = True
        threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return True
