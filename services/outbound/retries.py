"""When a failed call is made again: only before the first byte, and never when it may have been paid for.

Source: the retry rules that the vendors' own SDKs share (x-should-retry, retry-after-ms, retry-after).
"""

import math
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from services import cancellation

LONGEST_WAIT_SECONDS = 60.0
LONGEST_BACK_OFF_SECONDS = 8.0
RETRIABLE = {408, 409, 429, 500, 502, 503, 504, 529}
STEP_SECONDS = 0.1


class Attempts:
    """Counts the tries of one call: `while attempts.may_retry(status, headers): …` waits between them."""

    def __init__(self, retries: int) -> None:
        self._left = retries
        self._made = 0

    def may_retry(self, status: int | None, headers: Mapping[str, str]) -> bool:
        """Wait and say True when the call may be made again; *status* None is a connection that failed.

        Raises Cancelled as soon as the work is given up during the wait.
        """
        wanted = headers.get("x-should-retry")
        if (
            self._left <= 0
            or wanted == "false"
            or (wanted != "true" and status is not None and status not in RETRIABLE)
        ):
            return False
        seconds = retry_after_seconds(headers)
        if seconds is None:
            seconds = min(0.5 * 2**self._made, LONGEST_BACK_OFF_SECONDS) * random.uniform(0.75, 1.25)
        if seconds > LONGEST_WAIT_SECONDS:
            return False
        self._left, self._made = self._left - 1, self._made + 1
        _wait(seconds)
        return True


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What the answer says of when to come again, from milliseconds, seconds or an HTTP date; None without a word."""
    said = [_milliseconds(headers.get("retry-after-ms")), _seconds(headers.get("retry-after"))]
    known = [seconds for seconds in said if seconds is not None]
    return max(known) if known else None


def _milliseconds(text: str | None) -> float | None:
    seconds = _number(text)
    return None if seconds is None else seconds / 1000


def _seconds(text: str | None) -> float | None:
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        seconds = float(text) if text else math.nan
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _wait(seconds: float) -> None:
    """Sleep, and wake at once when the work is given up."""
    switch, end = cancellation.current(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if switch:
            switch.check()
        time.sleep(min(left, STEP_SECONDS))
