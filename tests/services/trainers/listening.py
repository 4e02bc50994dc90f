"""A job that hears what a training tells."""

from collections.abc import Callable
from typing import Any

from services.compute.progress import Job
from services.errors import Cancelled


class Listener(Job):
    """Hears what a training tells; *at* is called with each step's number and may raise."""

    def __init__(self, at: Callable[[int], None] = lambda step: None) -> None:
        self.told: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._at = at

    def progress(self, fraction: float, **metrics: Any) -> None:
        if "loss" in metrics:
            self.told.append(metrics | {"fraction": fraction})
            self._at(metrics["current_step"])

    def log(self, line: str) -> None:
        self.lines.append(line)


def stop_at(step: int) -> Callable[[int], None]:
    """What cancels a job at *step*."""

    def end(number: int) -> None:
        if number == step:
            raise Cancelled()

    return end
