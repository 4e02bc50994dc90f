"""Turns: one at a time, in the order of arrival, also when somebody who waits is ended; neighbours are let pass."""

import fcntl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import gevent
import gevent.thread
import pytest

from services import turns
from services.turns import Neighbours, Turns
from tests.live import ROOT, wait_for


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


WAITS = """
import sys
from pathlib import Path
from services.turns import Neighbours
with Neighbours(Path(sys.argv[1])):
    print("waits", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long `let_pass` paused each time; it does not really."""
    seen: list[float] = []
    monkeypatch.setattr(turns.time, "sleep", seen.append)
    return seen


def test_where_nobody_waits_there_is_no_pause(tmp_path: Path, pauses: list[float]) -> None:
    Neighbours(tmp_path / "turn").let_pass()
    assert pauses == []


def test_who_waits_is_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Neighbours(tmp_path / "turn"), Neighbours(tmp_path / "turn")
    pauses: list[float] = []

    def pass_by(seconds: float) -> None:
        pauses.append(seconds)
        there.__exit__()

    monkeypatch.setattr(turns.time, "sleep", pass_by)
    there.__enter__()
    here.let_pass()
    assert pauses == [turns.PAUSE_SECONDS]


def test_patience_has_an_end(tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.0)
    here, there = Neighbours(tmp_path / "turn"), Neighbours(tmp_path / "turn")
    with there:
        here.let_pass()
    assert len(pauses) <= 1


def test_several_may_wait_and_all_are_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, *others = (Neighbours(tmp_path / "turn") for _ in range(3))
    waiting_still = list(others)
    monkeypatch.setattr(turns.time, "sleep", lambda _: waiting_still.pop().__exit__())
    for other in others:
        other.__enter__()
    here.let_pass()
    assert waiting_still == []


def test_who_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    here, there = Neighbours(tmp_path / "turn"), Neighbours(tmp_path / "turn")
    fcntl.flock(there._probe, fcntl.LOCK_EX)
    with here:
        pass
    fcntl.flock(there._probe, fcntl.LOCK_UN)
    assert not there._others_wait()


def test_a_killed_process_waits_no_more(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITS, str(tmp_path / "turn")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waits\n"
        here = Neighbours(tmp_path / "turn")
        assert here._others_wait()
        process.kill()
    assert not here._others_wait()
