"""Who waits runs together, in turns; nobody waits for company, and one that fails takes no other with it."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from services.cancellation import Cancellation, cancellable
from services.compute.batches import Batches, Crew
from services.errors import Busy, Cancelled, ServiceError, Unavailable

SOON = 10


class Gate:
    """A run that can be held: notes each batch, says that it began, and goes on when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.began = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def run(self, items: list[str]) -> list[str | Exception]:
        self.batches.append(items)
        self.began.set()
        assert self.open.wait(SOON)
        return [ValueError(item) if item.startswith("bad") else item.upper() for item in items]


class Callers:
    """Threads that each ask for one item; `answers` holds what they got."""

    def __init__(self, batches: Batches[str, str]) -> None:
        self.batches = batches
        self.answers: dict[str, str | ServiceError | ValueError] = {}
        self.threads: list[threading.Thread] = []

    def ask(self, item: str, owner: str = "ann", switch: Cancellation | None = None) -> None:
        """Start to ask, and return when the item waits or has its answer."""
        before = self.batches.waiting
        self.begin(item, owner, switch)
        until(lambda: self.batches.waiting > before or item in self.answers)

    def begin(self, item: str, owner: str, switch: Cancellation | None = None) -> None:
        """Start to ask, and return at once."""
        thread = threading.Thread(target=self._ask, args=(item, owner, switch or Cancellation()))
        self.threads.append(thread)
        thread.start()

    def _ask(self, item: str, owner: str, switch: Cancellation) -> None:
        try:
            with cancellable(switch):
                self.answers[item] = self.batches.do(item, owner=owner)
        except (ServiceError, ValueError) as error:
            self.answers[item] = error

    def hold(self, gate: Gate) -> None:
        """Let one item keep the model busy until the gate opens."""
        gate.open.clear()
        self.begin("first", "holder")
        assert gate.began.wait(SOON)

    def join(self) -> None:
        for thread in self.threads:
            thread.join(SOON)
            assert not thread.is_alive()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.001)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def batches(gate: Gate) -> Iterator[Batches[str, str]]:
    opened: Batches[str, str] = Batches(gate.run, name="toy", max_batch=4, max_waiting=6)
    yield opened
    gate.open.set()
    opened.close()


@pytest.fixture
def callers(batches: Batches[str, str]) -> Callers:
    return Callers(batches)


def test_a_lone_request_runs_at_once(batches: Batches[str, str], gate: Gate) -> None:
    started = time.perf_counter()
    for _ in range(200):
        assert batches.do("a", owner="ann") == "A"
    assert (time.perf_counter() - started) / 200 < 0.005
    assert gate.batches == [["a"]] * 200


def test_who_comes_while_one_runs_runs_together(gate: Gate, callers: Callers) -> None:
    callers.hold(gate)
    for item in "abc":
        callers.ask(item)
    gate.open.set()
    callers.join()
    assert gate.batches == [["first"], ["a", "b", "c"]]
    assert callers.answers == {"first": "FIRST", "a": "A", "b": "B", "c": "C"}


def test_a_batch_is_no_longer_than_it_may_be(gate: Gate, callers: Callers) -> None:
    callers.hold(gate)
    for item in "abcdef":
        callers.ask(item)
    gate.open.set()
    callers.join()
    assert gate.batches == [["first"], ["a", "b", "c", "d"], ["e", "f"]]


def test_owners_take_turns(gate: Gate, callers: Callers) -> None:
    callers.hold(gate)
    for item in ["a1", "a2", "a3", "a4"]:
        callers.ask(item, owner="ann")
    callers.ask("b1", owner="bob")
    callers.ask("b2", owner="bob")
    gate.open.set()
    callers.join()
    assert gate.batches == [["first"], ["a1", "b1", "a2", "b2"], ["a3", "a4"]]


def test_a_full_queue_says_when_to_come_again(gate: Gate, callers: Callers) -> None:
    callers.hold(gate)
    for item in "abcdefg":
        callers.ask(item)
    refused = callers.answers["g"]
    assert isinstance(refused, Busy) and refused.retry_after_seconds == 1
    gate.open.set()
    callers.join()
    assert callers.answers["f"] == "F"


def test_who_fills_the_queue_gives_way_to_others(gate: Gate, callers: Callers) -> None:
    callers.hold(gate)
    for item in "abcdef":
        callers.ask(item, owner="ann")
    other = threading.Thread(target=callers._ask, args=("x", "bob", Cancellation()))
    other.start()
    until(lambda: "f" in callers.answers)
    gate.open.set()
    other.join(SOON)
    callers.join()
    assert isinstance(callers.answers["f"], Busy)
    assert callers.answers["x"] == "X" and "x" in gate.batches[1]


def test_an_item_that_fails_takes_no_other_with_it(gate: Gate, callers: Callers) -> None:
    callers.hold(gate)
    for item in ["a", "bad", "c"]:
        callers.ask(item)
    gate.open.set()
    callers.join()
    assert isinstance(callers.answers["bad"], ValueError)
    assert (callers.answers["a"], callers.answers["c"]) == ("A", "C")


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), SystemExit(1), TimeoutError()])
def test_a_batch_that_breaks_is_the_only_one(error: BaseException) -> None:
    errors = [error]

    def run(items: list[str]) -> list[str | Exception]:
        if errors:
            raise errors.pop()
        return list(items)

    batches = Batches(run, name="toy", max_batch=4, max_waiting=4)
    with pytest.raises(type(error)):
        batches.do("a", owner="ann")
    assert batches.do("b", owner="ann") == "b"
    batches.close()


def test_too_few_results_are_an_error_and_leave_nobody_waiting() -> None:
    batches: Batches[str, str] = Batches(lambda items: [], name="toy", max_batch=4, max_waiting=4)
    with pytest.raises(ValueError, match="shorter"):
        batches.do("a", owner="ann")
    batches.close()


def test_who_has_left_is_taken_out(gate: Gate, callers: Callers, batches: Batches[str, str]) -> None:
    switch = Cancellation()
    callers.hold(gate)
    callers.ask("a")
    callers.ask("gone", owner="bob", switch=switch)
    switch.cancel("client_left")
    until(lambda: "gone" in callers.answers)
    assert batches.waiting == 1
    gate.open.set()
    callers.join()
    left = callers.answers["gone"]
    assert isinstance(left, Cancelled) and left.reason == "client_left"
    assert gate.batches == [["first"], ["a"]]


def test_who_leaves_while_it_runs_waits_no_longer(gate: Gate, callers: Callers, batches: Batches[str, str]) -> None:
    switch = Cancellation()
    gate.open.clear()
    callers.begin("a", "ann", switch)
    assert gate.began.wait(SOON)
    switch.cancel()
    callers.join()
    assert isinstance(callers.answers["a"], Cancelled)
    gate.open.set()
    assert batches.do("b", owner="ann") == "B"


def test_closing_fails_what_waits_and_ends_the_thread(gate: Gate, callers: Callers, batches: Batches[str, str]) -> None:
    callers.hold(gate)
    callers.ask("a")
    closing = threading.Thread(target=batches.close)
    closing.start()
    until(lambda: "a" in callers.answers)
    gate.open.set()
    closing.join(SOON)
    callers.join()
    assert isinstance(callers.answers["a"], Unavailable)
    assert callers.answers["first"] == "FIRST", "what runs is finished"
    assert not any(thread.is_alive() for thread in batches._threads)
    with pytest.raises(Unavailable):
        batches.do("b", owner="ann")
    batches.close()


def test_many_threads_each_get_their_own(batches: Batches[str, str]) -> None:
    roomy = Batches(lambda items: [item * 2 for item in items], name="toy", max_batch=8, max_waiting=100)
    wrong: list[int] = []

    def ask(number: int) -> None:
        for step in range(50):
            if roomy.do(number * 1000 + step, owner=str(number % 3)) != 2 * (number * 1000 + step):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert wrong == [] and roomy.waiting == 0
    roomy.close()


class Crowd:
    """Runs that note their threads; those of a crew go on when two run at the same time."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, int]] = []
        self.began: list[str] = []
        self.first = threading.Event()
        self.open = threading.Event()
        self.two = threading.Barrier(2)

    def begin(self) -> None:
        self.began.append(threading.current_thread().name)

    def run(self, items: list[str]) -> list[str | Exception]:
        name = threading.current_thread().name
        self.ran.append((name, len(items)))
        if name.endswith("crew"):
            self.two.wait(SOON)
        elif items == ["first"]:
            self.first.set()
            assert self.open.wait(SOON)
        return [item.upper() for item in items]


def ask_behind_one(shared: Batches[str, str], crowd: Crowd, items: str) -> Callers:
    """Let *items* come while a first one runs alone, and then all be answered."""
    callers = Callers(shared)
    callers.begin("first", "holder")
    assert crowd.first.wait(SOON)
    for item in items:
        callers.ask(item)
    crowd.open.set()
    callers.join()
    return callers


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture
def shared(crowd: Crowd) -> Iterator[Batches[str, str]]:
    crew = Crew(2, max_batch=2, begin=crowd.begin)
    opened: Batches[str, str] = Batches(crowd.run, name="toy", max_batch=4, max_waiting=10, crew=crew)
    yield opened
    crowd.open.set()
    opened.close()


def test_a_crew_has_begun_and_leaves_a_lone_request_to_the_one(shared: Batches[str, str], crowd: Crowd) -> None:
    assert crowd.began == ["toy-crew"] * 2
    assert [shared.do(item, owner="ann") for item in "ab"] == ["A", "B"]
    assert crowd.ran == [("toy", 1)] * 2


def test_many_are_run_side_by_side(shared: Batches[str, str], crowd: Crowd) -> None:
    callers = ask_behind_one(shared, crowd, "abcd")
    assert callers.answers == {item: item.upper() for item in ["first", *"abcd"]}
    assert crowd.ran == [("toy", 1), ("toy-crew", 2), ("toy-crew", 2)]
    assert shared.do("last", owner="ann") == "LAST"
    assert crowd.ran[-1] == ("toy", 1), "the crew is done"


def test_two_are_one_for_each_of_a_crew(shared: Batches[str, str], crowd: Crowd) -> None:
    callers = ask_behind_one(shared, crowd, "ab")
    assert len(callers.answers) == 3
    assert crowd.ran == [("toy", 1), ("toy-crew", 1), ("toy-crew", 1)]


def test_closing_ends_a_crew(shared: Batches[str, str]) -> None:
    shared.close()
    assert not any(thread.is_alive() for thread in shared._threads)
    with pytest.raises(Unavailable):
        shared.do("late", owner="ann")
