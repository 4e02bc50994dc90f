"""Tasks at a vendor: asked after with longer and longer pauses, and given up there when they are given up here.

Source: the back-off of DashScope's own SDK, and its limit of 20 questions a second.
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from services import cancellation
from services.errors import Cancelled, ServiceError, UpstreamBusy, UpstreamFailed, UpstreamTimeout

if TYPE_CHECKING:
    from services.compute.progress import Job

FIRST_SECONDS = 1.0
GROWTH = 1.3
LONGEST_SECONDS = 6.0
STEP_SECONDS = 0.1
# A task that is paid for is not lost because the vendor could not be asked a few times.
MOST_FAILURES = 5
PASSING = {"connection", "stream_broken", "server"}

log = logging.getLogger(__name__)
Found = TypeVar("Found")


def wait_for(
    ask: Callable[[], Found | None], *, give_up: Callable[[], object], job: "Job", most_seconds: float
) -> Found:
    """What *ask* gives at last; None from it means not yet.

    *give_up* cancels the task at the vendor, as far as it can, when this raises Cancelled or UpstreamTimeout.
    Raises what *ask* raises; a failure that may pass is asked again.
    """
    try:
        return _ask_until(ask, job, time.monotonic() + most_seconds)
    except (Cancelled, UpstreamTimeout):
        _give_up(give_up)
        raise


def _ask_until(ask: Callable[[], Found | None], job: "Job", end: float) -> Found:
    started, pause, failures = time.monotonic(), FIRST_SECONDS, 0
    while time.monotonic() < end:
        pause_for(pause, job)
        pause = min(pause * GROWTH, LONGEST_SECONDS)
        try:
            found = ask()
            failures = 0
        except (UpstreamBusy, UpstreamTimeout, UpstreamFailed) as error:
            failures += 1
            if failures > MOST_FAILURES or getattr(error, "kind", "") not in PASSING | {"rate_limit", "timeout"}:
                raise
            continue
        if found is not None:
            return found
        gone = time.monotonic() - started
        job.progress(gone / (gone + 60))  # Vendors tell no progress; this one slows down and never arrives.
    raise UpstreamTimeout("The provider's task did not end in time.", "上游任务超时未完成。")


def pause_for(seconds: float, job: "Job") -> None:
    """Sleep, and raise Cancelled as soon as the work is given up."""
    end = time.monotonic() + seconds
    while True:
        job.check()
        if switch := cancellation.current():
            switch.check()
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, STEP_SECONDS))


def _give_up(give_up: Callable[[], object]) -> None:
    """Under a switch of its own, as the work's own is thrown and would end this call too."""
    try:
        with cancellation.cancellable(cancellation.Cancellation()):
            give_up()
    except ServiceError as error:
        log.info("the provider goes on with a task that was given up: %s", type(error).__name__)
