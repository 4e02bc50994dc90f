"""Tasks at a vendor: asked after with longer and longer pauses, and given up there when they are given up here.

A job remembers its task, so that the next attempt after a crash asks after the same one and nothing is paid twice.

Source: the back-off of DashScope's own SDK, and its limit of 20 questions a second.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
PASSING = {"connection", "stream_broken", "server", "rate_limit", "timeout"}
# Somebody else goes on with the job, and with its task.
HANDED_ON = {"restarting", "lost"}

log = logging.getLogger(__name__)
View = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """How a vendor is asked for a task, which has a number there, and what its answers mean."""

    start: Callable[[], str]
    ask: Callable[[str], View]
    runs: Callable[[View], bool]
    result: Callable[[View], View]
    """What of the view of an ended task was asked for; raises what a bad end means."""
    give_up: Callable[[str], object]


def follow(task: Task, *, job: "Job", most_seconds: float, name: str = "task") -> View:
    """What *task* made. A *job* that started it in an earlier attempt, under *name*, goes on asking after that one.

    Where this raises Cancelled, or UpstreamTimeout after *most_seconds*, the vendor is told to give the task up.
    Raises what `result` raises; a question that fails and may pass is asked again.
    """
    number = job.once(name, task.start)
    try:
        view = _ask_until(task, number, job, time.monotonic() + most_seconds)
    except Cancelled as error:
        if error.reason not in HANDED_ON:
            _give_up(task, number)
        raise
    if view is None:
        job.forget(name)
        _give_up(task, number)
        raise UpstreamTimeout("The provider's task did not end in time.", "上游任务超时未完成。")
    try:
        return task.result(view)
    except ServiceError:
        job.forget(name)  # Another attempt asks for another task.
        raise


def _ask_until(task: Task, number: str, job: "Job", end: float) -> View | None:
    """The view of the task that has ended; None where the time is over."""
    started, pause, failures = time.monotonic(), FIRST_SECONDS, 0
    while time.monotonic() < end:
        pause_for(pause, job)
        pause = min(pause * GROWTH, LONGEST_SECONDS)
        try:
            view = task.ask(number)
            failures = 0
        except (UpstreamBusy, UpstreamTimeout, UpstreamFailed) as error:
            failures += 1
            if failures > MOST_FAILURES or getattr(error, "kind", "") not in PASSING:
                raise
            continue
        if not task.runs(view):
            return view
        gone = time.monotonic() - started
        job.progress(gone / (gone + 60))  # Vendors tell no progress; this one slows down and never arrives.
    return None


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


def _give_up(task: Task, number: str) -> None:
    """Under a switch of its own, as the work's own is thrown and would end this call too."""
    try:
        with cancellation.cancellable(cancellation.Cancellation()):
            task.give_up(number)
    except ServiceError as error:
        log.info("the provider goes on with a task that was given up: %s", type(error).__name__)
