"""Connections in even shares: a worker that has more of them than another lets that one take the next.

Every worker is told when somebody connects, and one that is awake takes one after another before the others are: of
32 clients that came together one worker got 30, and a core stood still. To take one a turn, as gunicorn has it
(`max_accept` in gevent.baseserver), helps little, and who came last waits for the answers of all before it.
"""

import mmap
from collections.abc import Callable
from typing import Any

from gevent.server import StreamServer

# How long another worker has to take a connection before this one does.
LET_PASS_SECONDS = 0.002
# A lead of so many connections, or of an eighth, is even enough.
EVEN = 2
EVEN_SHARE = 8
MOST_WORKERS = 64


class Tally:
    """How many connections each worker has, in memory that all of them share; made before they are forked.

    A worker counts in its own *place* and looks at the others'. A number is the connections and one; 0 is nobody.
    """

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 4 * MOST_WORKERS)).cast("I")

    def open(self, place: int) -> None:
        """Count from now on in *place*, which is given modulo MOST_WORKERS."""
        self._numbers[place % MOST_WORKERS] = 1

    def close(self, place: int) -> None:
        """Say that nobody counts in *place* any more, so that nobody waits for it; the arbiter says it of the dead."""
        self._numbers[place % MOST_WORKERS] = 0

    def add(self, place: int, change: int) -> None:
        """Count *change* connections more in *place*, as long as it is open: a worker that stops answers its last."""
        if self._numbers[place % MOST_WORKERS]:
            self._numbers[place % MOST_WORKERS] += change

    def connections(self, place: int) -> int:
        """How many *place* has; -1 where nobody counts."""
        return self._numbers[place % MOST_WORKERS] - 1

    def leads(self, place: int) -> bool:
        """Whether *place* has so many more connections than another that the next is the other's."""
        mine = self.connections(place)
        fewest = min(filter(None, self._numbers), default=1) - 1
        return mine - fewest > max(EVEN, mine // EVEN_SHARE)


class EvenServer(StreamServer):
    """Gives *handle* the connections of a listener that other processes listen to as well, in even shares."""

    def __init__(
        self, listener: Any, handle: Callable[[Any, Any], None], *, spawn: Any, tally: Tally, place: int, **ssl: Any
    ) -> None:
        super().__init__(listener, handle=self._count, spawn=spawn, **ssl)
        self._serve, self._tally, self._place = handle, tally, place
        self._has_waited = False

    def start(self) -> None:
        self._tally.open(self._place)
        super().start()

    def close(self) -> None:
        self._tally.close(self._place)
        super().close()

    def do_read(self) -> Any:
        """The next connection; None where there is none, or where another worker may take it first."""
        if self._tally.leads(self._place) and not self._has_waited:
            self._has_waited = True
            self.stop_accepting()
            self._timer = self.loop.timer(LET_PASS_SECONDS)
            self._timer.start(self._start_accepting_if_started)
            return None
        self._has_waited = False
        taken = super().do_read()
        if taken:
            self._tally.add(self._place, 1)
        return taken

    def _count(self, client: Any, address: Any) -> None:
        try:
            self._serve(client, address)
        finally:
            self._tally.add(self._place, -1)
