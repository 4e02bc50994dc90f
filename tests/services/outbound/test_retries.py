"""When a call is made again, and how long that waits."""

import time
from email.utils import formatdate

import pytest

from services.cancellation import Cancellation, cancellable
from services.errors import Cancelled
from services.outbound.retries import Attempts, retry_after_seconds

AT_ONCE = {"retry-after-ms": "1"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "2"}, 2),
        ({"retry-after": formatdate(0, usegmt=True)}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_what_an_answer_says_of_when_to_come_again(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_a_date_is_a_wait_from_now() -> None:
    seconds = retry_after_seconds({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert seconds is not None
    assert 28 < seconds <= 30


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_these_may_be_tried_again(status: int) -> None:
    assert Attempts(1).may_retry(status, AT_ONCE)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_these_may_not(status: int) -> None:
    assert not Attempts(1).may_retry(status, AT_ONCE)


@pytest.mark.parametrize(("status", "wanted", "again"), [(400, "true", True), (500, "false", False)])
def test_the_vendors_word_wins(status: int, wanted: str, again: bool) -> None:
    assert Attempts(1).may_retry(status, AT_ONCE | {"x-should-retry": wanted}) is again


def test_tries_are_counted() -> None:
    attempts = Attempts(2)
    assert [attempts.may_retry(500, AT_ONCE) for _ in range(3)] == [True, True, False]


def test_nobody_waits_longer_than_a_minute() -> None:
    assert not Attempts(1).may_retry(429, {"retry-after": "61"})


def test_without_a_word_it_backs_off_with_jitter() -> None:
    started = time.monotonic()
    assert Attempts(1).may_retry(500, {})
    assert 0.375 <= time.monotonic() - started < 1


def test_work_that_was_given_up_does_not_wait() -> None:
    switch = Cancellation()
    switch.cancel("client_left")
    with cancellable(switch), pytest.raises(Cancelled):
        Attempts(1).may_retry(429, {"retry-after": "50"})
