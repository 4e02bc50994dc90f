"""A lock that goes to those who wait in the order in which they came."""

import threading
from collections import deque


class Turns:
    """A context manager: one at a time, first come first served, among threads or greenlets of a process.

    A plain lock goes to whoever runs when it is let go, often to who just had it: of 32 threads that submitted
    jobs beside those that ran them, one in a hundred waited twice as long as with turns.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()
        except BaseException:
            # A greenlet may be ended while it waits; a turn that it was given meanwhile goes to the next.
            self._leave(mine)
            raise

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._pass_on()

    def _leave(self, mine: threading.Lock) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            else:
                self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().release()
        else:
            self._taken = False
