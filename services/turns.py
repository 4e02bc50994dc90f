"""Whose turn it is: a lock within a process, and a word to the other processes."""

import fcntl
import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from functools import cached_property
from pathlib import Path

# The pause of who lets others pass, and how long it goes on doing so when they take no use of it.
PAUSE_SECONDS = 0.0002
PATIENCE_SECONDS = 0.004


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


class Neighbours:
    """Other processes that wait for the same thing, told by locks on the empty file *path*.

    While one waits inside `with neighbours:`, who calls `let_pass` first pauses for it. A process that writes all
    the time and one that asks for its turn again and again would else meet by luck: of 32 clients that submitted
    while jobs ran, one in a hundred waited 24 ms, and 15 so. A lock ends with its process, however that ends.
    For one thread at a time: each process sends the one whose turn it is.
    Source: flock(2); two openings of a file do not share their locks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        # Somebody who looks just now whether others wait is in the way for a microsecond, or for ever if it was stopped
        # there: not to be told of is a smaller loss than to wait.
        with suppress(BlockingIOError):
            fcntl.flock(self._mine, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __exit__(self, *_error: object) -> None:
        fcntl.flock(self._mine, fcntl.LOCK_UN)

    def let_pass(self) -> None:
        """Return when nobody waits, or those who do had time enough; 2 microseconds where nobody does."""
        began = None
        while self._others_wait():
            now = time.monotonic()
            began = began or now
            if now - began > PATIENCE_SECONDS:
                return
            time.sleep(PAUSE_SECONDS)

    def _others_wait(self) -> bool:
        try:
            fcntl.flock(self._probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._probe, fcntl.LOCK_UN)
        return False

    @cached_property
    def _mine(self) -> int:
        return self._open()

    @cached_property
    def _probe(self) -> int:
        return self._open()

    def _open(self) -> int:
        opened = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o644)
        weakref.finalize(self, os.close, opened)
        return opened
