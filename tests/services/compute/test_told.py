"""What a job in another process tells comes to the job that is watched, as it was told."""

from typing import Any

from services.compute.progress import Job
from services.compute.told import TellingJob, hand_on
from services.errors import Cancelled


class Teller(TellingJob):
    """Keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


class Hearer(Job):
    """Keeps what it is told; shall end with its first progress."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.heard.append((fraction, metrics))
        raise Cancelled()

    def log(self, line: str) -> None:
        self.heard.append(line)

    def artifact(self, name: str, **facts: Any) -> None:
        self.heard.append((name, facts))


def never() -> None:
    raise AssertionError("nobody cancelled")


def test_what_one_tells_the_other_hears() -> None:
    teller, hearer, asked = Teller(), Hearer(), list[bool]()
    teller.log("begins")
    teller.progress(1, loss=0.5)
    teller.artifact("checkpoint", step=3)
    teller.say({"answer": 7})
    assert hand_on(teller.lines, hearer, cancelled=lambda: asked.append(True)) == {"answer": 7}
    assert hearer.heard == ["begins", (1.0, {"loss": 0.5}), ("checkpoint", {"step": 3})]
    assert asked == [True]


def test_what_others_write_between_is_left_out() -> None:
    lines = [b"loading\n", b"{1: 2}\n", b"[1]\n", b'{"foreign": 1}\n', b'{"log": "here"}\n', b'{"answer": ']
    hearer = Hearer()
    assert hand_on(lines, hearer, cancelled=never) is None
    assert hearer.heard == ["here"]


def test_nothing_is_heard_after_the_last_word() -> None:
    hearer = Hearer()
    assert hand_on([b'{"error": {}}\n', b'{"log": "late"}\n'], hearer, cancelled=never) == {"error": {}}
    assert hearer.heard == []
