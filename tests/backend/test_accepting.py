"""Connections go to workers in even shares, and none waits long for a worker that takes none."""

import socket
from collections.abc import Callable, Iterator

import gevent
import gevent.event
import gevent.socket
import pytest
from gevent.pool import Pool

from backend.accepting import EVEN, MOST_WORKERS, EvenServer, Tally

SOON = 10


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    opened = socket.create_server(("127.0.0.1", 0), backlog=100)
    yield opened
    opened.close()


class Worker:
    """A server in place *place* whose connections last until `let_go()`."""

    def __init__(self, listener: socket.socket, tally: Tally, place: int) -> None:
        self.taken = 0
        self.served: list[gevent.Greenlet] = []
        self._end = gevent.event.Event()
        shared = gevent.socket.socket(fileno=listener.dup().detach())
        self.server = EvenServer(shared, self._handle, spawn=Pool(1000), tally=tally, place=place)

    def _handle(self, client: socket.socket, _address: object) -> None:
        self.taken += 1
        self.served.append(gevent.getcurrent())
        self._end.wait()
        client.close()
        if self.taken > 20:
            raise OSError("a connection may end in an error too")

    def take(self, connect: "Connect", count: int) -> None:
        """Start, and return when *count* clients that connect now were taken."""
        self.server.start()
        connect(count)
        until(lambda: self.taken == count)

    def let_go(self) -> None:
        self._end.set()

    def stop(self) -> None:
        self.let_go()
        self.server.stop()


Connect = Callable[[int], None]


@pytest.fixture
def connect(listener: socket.socket) -> Iterator[Connect]:
    """Open so many connections at once; they are accepted when the hub runs."""
    opened: list[socket.socket] = []
    yield lambda count: opened.extend(socket.create_connection(listener.getsockname()) for _ in range(count))
    for each in opened:
        each.close()


def until(true: Callable[[], bool]) -> None:
    with gevent.Timeout(SOON):
        while not true():
            gevent.sleep(0.001)


def test_a_crowd_is_shared_evenly(listener: socket.socket, connect: Connect) -> None:
    tally = Tally()
    workers = [Worker(listener, tally, place) for place in (1, 2)]
    connect(32)
    for worker in workers:
        worker.server.start()
    until(lambda: sum(worker.taken for worker in workers) == 32)
    assert abs(workers[0].taken - workers[1].taken) <= EVEN + 2
    for worker in workers:
        worker.stop()


def test_who_comes_later_gets_the_next_ones(listener: socket.socket, connect: Connect) -> None:
    tally = Tally()
    early, late = (Worker(listener, tally, place) for place in (1, 2))
    early.take(connect, 10)
    late.server.start()
    connect(6)
    until(lambda: early.taken + late.taken == 16)
    assert late.taken == 6
    early.stop()
    late.stop()


def test_nobody_waits_for_a_worker_that_takes_none(listener: socket.socket, connect: Connect) -> None:
    tally = Tally()
    tally.open(7)
    alone = Worker(listener, tally, 1)
    alone.take(connect, 20)
    alone.stop()


def test_a_connection_that_ended_counts_no_more(listener: socket.socket, connect: Connect) -> None:
    tally = Tally()
    tally.open(7)
    worker = Worker(listener, tally, 1)
    worker.take(connect, 21)
    assert tally.leads(1)
    worker.let_go()
    until(lambda: not tally.leads(1))
    assert tally.connections(1) == 0
    worker.stop()


def test_a_worker_that_stops_is_not_waited_for(listener: socket.socket) -> None:
    tally = Tally()
    worker = Worker(listener, tally, 2)
    worker.server.start()
    tally.open(1)
    for _ in range(EVEN + 1):
        tally.add(1, 1)
    assert tally.leads(1)
    worker.stop()
    assert not tally.leads(1)


def test_connections_that_outlast_their_server_count_nothing(listener: socket.socket, connect: Connect) -> None:
    tally = Tally()
    worker = Worker(listener, tally, 1)
    worker.take(connect, 3)
    worker.server.close()
    worker.let_go()
    worker.server.pool.join()
    assert tally.connections(1) == -1
    assert [greenlet.exception for greenlet in worker.served] == [None] * 3


@pytest.mark.parametrize(
    ("mine", "other", "leads"),
    [(0, 0, False), (EVEN, 0, False), (EVEN + 1, 0, True), (100, 88, False), (100, 87, True), (5, 100, False)],
)
def test_a_small_lead_is_none(mine: int, other: int, leads: bool) -> None:
    tally = Tally()
    for place, count in ((3, mine), (4 + MOST_WORKERS, other)):
        tally.open(place)
        tally.add(place, count)
    assert tally.leads(3) is leads


def test_who_is_alone_never_leads() -> None:
    tally = Tally()
    tally.open(1)
    tally.add(1, 1000)
    assert not tally.leads(1)
