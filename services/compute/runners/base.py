"""What a runner is: who is told that a job waits, and sees to it that it runs."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.assemble import Services


class Runner(ABC):
    """Sees to it that queued jobs run. Rows are the truth; a knock that gets lost delays a job and loses none."""

    at_once: bool = False
    """A knock returns when the job has ended."""

    @abstractmethod
    def bind(self, services: "Services") -> None:
        """Take the services that jobs run with; called once, before anything else."""

    def start(self) -> None:
        """Begin: take up what was left by an earlier life, and run what is queued."""

    def stop(self, seconds: float = 3.0) -> None:
        """Take no more jobs; hand back what has not ended after *seconds*."""

    @abstractmethod
    def knock(self, lane: str | None = None) -> None:
        """Say that there may be a new job in *lane* (None: in any), or a cancel. Never raises."""

    def tells(self) -> bool:
        """Whether what happens to jobs is published in this process at once; asked for as long as somebody waits."""
        return False

    def health(self) -> str:
        """`ok`, or what is wrong."""
        return "ok"
