"""The processes of one training, one on each GPU: each learns its share of every batch, and all make the same step.

Only what learns is exchanged, which for an adapter is little, so no wrapper around the model is needed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's `number` among `count`, from 0. Rank 0 writes and tells."""

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.number == 0

    def sum(self, value: float) -> float:
        """*value* of all ranks together. Every rank must ask at the same place."""
        if self.count == 1:
            return value
        import torch

        tensor = torch.tensor([float(value)], dtype=torch.float64, device=_device())
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def any(self, here: bool) -> bool:
        """Whether it is so on any rank, so that all do the same of it. Every rank must ask at the same place."""
        return here if self.count == 1 else self.sum(float(here)) > 0

    def sum_gradients(self, parameters: Iterable[Any]) -> None:
        """Give each of *parameters* the sum of its gradients on all ranks, in one exchange."""
        if self.count == 1:
            return
        import torch

        listed = list(parameters)
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in listed]
        together = torch.cat([part.flatten() for part in parts])
        torch.distributed.all_reduce(together)
        for one, part in zip(listed, torch.split(together, [one.numel() for one in listed]), strict=True):
            one.grad = part.view_as(one)


ONE = Ranks()


def join() -> Ranks:
    """This process's rank among those that `accelerate launch` started; alone where nobody launched it."""
    import torch
    from accelerate import PartialState  # type: ignore[import-untyped]

    state = PartialState(cpu=not torch.cuda.is_available())
    return Ranks(state.process_index, state.num_processes)


def _device() -> Any:
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
