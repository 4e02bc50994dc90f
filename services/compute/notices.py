"""What has just happened to jobs, told at once to whoever listens, so that those who wait seldom ask the database."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue

# How long a listener of another process hears nothing before he hears that.
SILENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Notice:
    """Job *id* was changed, and whether it has ended by that."""

    id: str
    ended: bool


class Notices:
    """Tells all who listen in this process; safe from any thread.

    Rows are the truth: a notice is published when its row is committed, and one that gets lost delays those who
    wait and harms nobody.
    """

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[Notice], None], ...] = ()
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, job_id: str, *, ended: bool) -> None:
        """Tell that *job_id* was changed."""
        for listen in self._listeners:
            listen(Notice(job_id, ended))

    def call(self, listener: Callable[[Notice], None]) -> None:
        """Let *listener* hear everything from now on; it must be quick."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def batches(self) -> Iterator[list[Notice]]:
        """Notices as they come, those that came together in one batch; an empty one where there is silence.

        Ends after `close`, and stops listening where it is closed.
        """
        heard: SimpleQueue[Notice] = SimpleQueue()
        listener = heard.put
        self.call(listener)
        try:
            while not self._closed:
                yield _next_of(heard)
        finally:
            with self._lock:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

    def close(self) -> None:
        """End all `batches` within SILENCE_SECONDS: this process stops."""
        self._closed = True


def _next_of(heard: SimpleQueue[Notice]) -> list[Notice]:
    try:
        batch = [heard.get(timeout=SILENCE_SECONDS)]
        while not heard.empty():
            batch.append(heard.get())
    except Empty:
        return []
    return batch
