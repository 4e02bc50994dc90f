"""Turns: one at a time, in the order of arrival, also when somebody who waits is ended."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gevent
import gevent.thread
import pytest

from services import turns
from services.turns import Turns
from tests.live import wait_for


def waiting(of: Turns) -> int:
    return len(of._waiting)


def test_those_who_wait_come_in_their_order() -> None:
    line, came = Turns(), []

    def take(number: int) -> None:
        with line:
            came.append(number)

    with ThreadPoolExecutor(8) as threads, line:
        for number in range(8):
            threads.submit(take, number)
            wait_for(lambda so_far=number + 1: waiting(line) == so_far, what="one more to wait")
    assert came == list(range(8))


def test_nobody_has_it_together_with_another() -> None:
    line, inside, most = Turns(), 0, 0

    def take() -> None:
        nonlocal inside, most
        for _ in range(500):
            with line:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, inside) == (1, 0)


def test_an_error_inside_gives_it_back() -> None:
    line = Turns()
    with pytest.raises(ValueError, match="inside"), line:
        raise ValueError("inside")
    with line:
        assert waiting(line) == 0


@pytest.mark.parametrize("given", [False, True], ids=["still waits", "was just given it"])
def test_a_greenlet_that_is_ended_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
    monkeypatch.setattr(turns, "threading", SimpleNamespace(Lock=gevent.thread.LockType))
    line = Turns()

    def take() -> None:
        with line:
            gevent.sleep(0)

    line.__enter__()
    ended, other = gevent.spawn(take), gevent.spawn(take)
    gevent.sleep(0)
    if given:
        line.__exit__()
        ended.kill(block=False)
    else:
        ended.kill()
        line.__exit__()
    gevent.joinall([ended, other], timeout=5)
    assert other.successful()
    with gevent.Timeout(5), line:
        assert waiting(line) == 0
