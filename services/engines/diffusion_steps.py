"""The steps of a pipeline, told to a job: it hears of each and may end the work there."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from services.compute.progress import Job


class StepCounter:
    """Stands where a pipeline's progress bar stands, for one of *parts* equal runs. Ends a run by Cancelled.

    Every pipeline of diffusers counts its steps on `progress_bar`, the older ones without `callback_on_step_end`
    too, and only the bar knows how many steps there are once `strength` has cut them.
    """

    def __init__(self, job: Job, part: int = 0, parts: int = 1) -> None:
        self.started = False
        self._job, self._part, self._parts = job, part, parts
        self._done = self._total = 0

    def __call__(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """What `progress_bar(...)` gives: itself, or an iterable's items with a step after each."""
        self._done, self._total = 0, total or (len(iterable) if isinstance(iterable, Sized) else 0)
        return self if iterable is None else self._count(iterable)

    def __enter__(self) -> "StepCounter":
        self._job.check()
        return self

    def __exit__(self, *_error: object) -> None:
        """A bar is closed here; there is nothing to close."""

    def update(self, steps: int = 1) -> None:
        """Count *steps* more. Raises Cancelled."""
        self.started = True
        self._done += int(steps)
        done = min(1.0, self._done / self._total) if self._total else 0.0
        self._job.progress((self._part + done) / self._parts, step=self._done, steps=self._total)

    def set_description(self, *_args: Any, **_named: Any) -> None:
        """Bars show words too; a job has its log."""

    set_postfix = close = refresh = set_description

    def _count(self, iterable: Iterable[Any]) -> Iterator[Any]:
        for item in iterable:
            yield item
            self.update()
