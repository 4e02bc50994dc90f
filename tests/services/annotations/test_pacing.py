"""The gate before a busy provider."""

import time

import pytest

from services.annotations.pacing import Pace
from services.compute.progress import SILENT, Job
from services.errors import Cancelled, UpstreamBusy


def busy(seconds: float | None = None) -> UpstreamBusy:
    return UpstreamBusy("busy", "繁忙", retry_after_seconds=seconds)


def waited(pace: Pace) -> float:
    began = time.monotonic()
    pace.wait(SILENT)
    return time.monotonic() - began


def test_an_open_gate_holds_nobody() -> None:
    assert waited(Pace()) < 0.05


def test_everybody_waits_as_long_as_the_provider_asks() -> None:
    pace = Pace()
    pace.refused(busy(0.3))
    assert 0.25 < waited(pace) < 2


def test_without_a_word_the_wait_doubles() -> None:
    pace = Pace()
    pace.refused(busy())
    assert 0.5 < waited(pace) < 3


def test_a_provider_that_asks_for_too_long_is_given_up() -> None:
    with pytest.raises(UpstreamBusy):
        Pace(most_busy_seconds=1).refused(busy(2))


def test_an_answer_begins_the_count_anew() -> None:
    pace = Pace(most_busy_seconds=0.5)
    for _ in range(3):
        pace.refused(busy(0.3))
        assert waited(pace) < 2
        pace.answered()


def test_who_waits_hears_the_cancel() -> None:
    class Ended(Job):
        def check(self) -> None:
            raise Cancelled

    pace = Pace()
    pace.refused(busy(60))
    with pytest.raises(Cancelled):
        pace.wait(Ended())
