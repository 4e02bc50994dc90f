"""Waiting for a job: woken by its change, whoever made it, and by nothing else."""

import threading
import time

from services.compute.notices import Notice
from services.compute.watch import State, Watch
from tests.live import wait_for


class Rows:
    """Revisions as the database would tell them."""

    def __init__(self) -> None:
        self.now = {"a": 1, "b": 1}
        self.ended: set[str] = set()
        self.asked: list[list[str]] = []

    def __call__(self, ids: list[str]) -> dict[str, State]:
        self.asked.append(ids)
        return {name: State(self.now[name], name in self.ended) for name in ids if name in self.now}


def untold() -> None:
    """The version of a database that has none, as PostgreSQL."""


def test_a_change_wakes_who_waits_for_it() -> None:
    rows = Rows()
    watch, woken = Watch(rows, untold), threading.Event()
    threading.Thread(target=lambda: watch.wait("a", 1, 30) and woken.set(), daemon=True).start()
    assert not woken.wait(0.2)
    rows.now["a"] = 2
    assert woken.wait(5)


def test_who_waits_for_the_end_is_not_woken_before() -> None:
    rows = Rows()
    watch, woken = Watch(rows, untold), threading.Event()
    rows.now["a"] = 2
    threading.Thread(target=lambda: watch.wait("a", 1, 30, for_end=True) and woken.set(), daemon=True).start()
    assert not woken.wait(0.2)
    rows.ended.add("a")
    assert woken.wait(5)


def test_a_removed_job_ends_every_wait() -> None:
    assert Watch(Rows(), untold).wait("gone", 1, 30, for_end=True)


def test_another_s_change_wakes_nobody() -> None:
    rows = Rows()
    rows.now["b"] = 2
    assert not Watch(rows, untold).wait("a", 1, 0.2)


def test_what_changed_before_is_told_at_once() -> None:
    started = time.monotonic()
    assert Watch(Rows(), untold).wait("a", 0, 30)
    assert time.monotonic() - started < 5


def test_a_job_that_is_removed_is_a_change() -> None:
    assert Watch(Rows(), untold).wait("gone", 1, 30)


def test_many_who_wait_are_one_question() -> None:
    rows = Rows()
    watch = Watch(rows, untold)
    threads = [threading.Thread(target=watch.wait, args=("a", 1, 0.6)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(tuple, rows.asked)) == {("a",)}
    assert len(rows.asked) < 60, "a question a look, not one a waiter"


def test_while_nobody_writes_nobody_is_asked() -> None:
    rows, version = Rows(), 1
    watch, woken = Watch(rows, lambda: version), threading.Event()
    assert not watch.wait("a", 1, 0.3)
    assert len(rows.asked) == 1
    threading.Thread(target=lambda: watch.wait("a", 1, 30) and woken.set(), daemon=True).start()
    assert not woken.wait(0.3)
    assert len(rows.asked) == 2, "who has just begun to wait is asked for once"
    rows.now["a"], version = 2, 2
    assert woken.wait(5)


def test_who_is_told_seldom_asks() -> None:
    rows = Rows()
    watch, woken = Watch(rows, untold, told=lambda: True), threading.Event()
    threading.Thread(target=lambda: watch.wait("a", 1, 30, for_end=True) and woken.set(), daemon=True).start()
    wait_for(lambda: rows.asked, what="the first look")
    for notice in (Notice("b", True), Notice("a", False)):
        watch.hear(notice)
    assert not woken.wait(0.3)
    assert len(rows.asked) == 1
    watch.hear(Notice("a", True))
    assert woken.wait(5)


def test_what_is_not_told_is_seen_all_the_same() -> None:
    rows = Rows()
    watch, woken = Watch(rows, untold, told=lambda: True), threading.Event()
    threading.Thread(target=lambda: watch.wait("a", 1, 30) and woken.set(), daemon=True).start()
    wait_for(lambda: rows.asked, what="the first look")
    rows.now["a"] = 2
    assert woken.wait(5)
