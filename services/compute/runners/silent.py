"""Runs nothing and tells nobody: jobs that are submitted here are found by the runners, which look each second."""

from typing import TYPE_CHECKING

from services.compute.runners.base import Runner

if TYPE_CHECKING:
    from services.assemble import Services


class SilentRunner(Runner):
    """For processes that run one job themselves, and for tests that claim by hand."""

    def bind(self, services: "Services") -> None:
        """Nothing runs here."""

    def knock(self, lane: str | None = None) -> None:
        """Nobody hears."""
