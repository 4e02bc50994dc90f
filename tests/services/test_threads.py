"""A late thread begins when it is first needed, and once."""

import threading

from services.threads import LateThread

SOON = 10


def test_it_begins_at_the_first_call_and_under_its_name() -> None:
    names: list[str] = []
    ran = threading.Event()

    def work() -> None:
        names.append(threading.current_thread().name)
        ran.set()

    late = LateThread(work, "late")
    assert not any(thread.name == "late" for thread in threading.enumerate())
    assert late.begin()
    assert ran.wait(SOON)
    assert not late.begin()
    assert names == ["late"]


def test_of_many_who_begin_it_at_once_one_does() -> None:
    runs: list[int] = []
    late = LateThread(lambda: runs.append(1), "late")
    together = threading.Barrier(8)
    began: list[bool] = []

    def begin() -> None:
        together.wait(SOON)
        began.append(late.begin())

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(began) == [False] * 7 + [True]
