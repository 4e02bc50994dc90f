"""The loop of a LoRA run: batches, gradients, steps, and what is told of them. One process, or a rank of several."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from services.contracts.training import TrainingRequest
from services.trainers import checkpoints, memory, schedule
from services.trainers.ranks import ONE, Ranks
from services.trainers.text.batches import Batch, lay, plan
from services.trainers.text.model import learned
from services.trainers.text.rows import TokenRow

# Source: Hugging Face's Trainer and the LoRA paper's own scripts; the betas and epsilon are torch's defaults.
MOST_GRADIENT_NORM = 1.0
# Recent steps count most in what is told of speed.
SPEED_MEMORY = 0.9


@dataclass(slots=True)
class Told:
    """What is told of the run so far; kept in checkpoints."""

    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    """Of the steps of this epoch."""
    step_seconds: float = 0.0
    step_tokens: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)


class Loop:
    """A model that learns *rows*, one optimizer step after another; `step` is how many are done."""

    def __init__(
        self,
        model: Any,
        rows: list[TokenRow],
        validation: list[TokenRow],
        request: TrainingRequest,
        *,
        padded: bool = False,
        ranks: Ranks = ONE,
    ) -> None:
        import torch

        self.model, self.request, self.told = model, request, Told()
        self.step = 0
        self._rows, self._validation, self._padded, self._ranks = rows, validation, padded, ranks
        self._lengths = [len(row) for row in rows]
        self._parameters = learned(model)
        self._place = next(iter(self._parameters.values())).device
        self.optimizer = torch.optim.AdamW(
            self._parameters.values(), lr=request.learning_rate, weight_decay=request.weight_decay, fused=True
        )
        self._epochs: dict[int, list[list[int]]] = {}
        counts = [self._steps_of(epoch) for epoch in range(request.epochs)] if self._packs else None
        self._ends = list(_sums(counts or [self._steps_of(0)] * request.epochs))
        torch.manual_seed(request.seed)
        self._chance = checkpoints.random_tensors()

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self._ends[-1]

    @property
    def _packs(self) -> bool:
        return self.request.packing and not self._padded

    @property
    def epoch(self) -> int:
        """The epoch of the next step, from 0."""
        return next((number for number, end in enumerate(self._ends) if self.step < end), len(self._ends) - 1)

    @property
    def at_end_of_epoch(self) -> bool:
        return self.step in self._ends

    def advance(self, *, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Do the next step; its loss, learning rate and gradient norm.

        *check* is called before each part of it and may raise: then nothing has been learned by this step.
        Raises Unavailable when the loss or the gradient is no number.
        """
        import torch

        began = time.monotonic()
        batches = self._batches_of_step()
        answers = sum(int(self._rows[row].learned[1:].sum()) for batch in batches for row in batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss, tokens = 0.0, 0
        for batch in batches:
            check()
            told, seen = self._learn(batch, answers)
            loss, tokens = loss + told, tokens + seen
        loss, tokens = self._ranks.sum(loss), int(self._ranks.sum(tokens))
        self._ranks.sum_gradients(self._parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters.values(), MOST_GRADIENT_NORM))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise schedule.diverged(self.step + 1)
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.step += 1
        # A step that is broken off leaves chance where the next process must find it: here.
        self._chance = checkpoints.random_tensors()
        self._note(loss, tokens, time.monotonic() - began)
        return {"loss": loss, "learning_rate": rate, "grad_norm": norm}

    def learning_rate(self, step: int) -> float:
        """Of the step after *step*."""
        asked = self.request
        return schedule.learning_rate(step, total=self.total, peak=asked.learning_rate, warmup_ratio=asked.warmup_ratio)

    def validate(self, *, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The mean loss and the perplexity of the validation rows' answers; nothing where there are none."""
        import torch

        if not self._validation:
            return {}
        self.model.eval()
        total, answers = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(self._validation), self.request.batch_size):
                check()
                batch = self._lay(self._validation[start : start + self.request.batch_size])
                total += float(self._loss(batch))
                answers += len(batch.labels)
        self.model.train()
        mean = total / max(answers, 1)
        # A loss of 700 and more is no number as a perplexity, and nobody's model.
        self.told.validation = {"val_loss": mean, "perplexity": math.exp(min(mean, 700.0))}
        return self.told.validation

    def facts(self) -> dict[str, Any]:
        """Where the run is, as its job tells it."""
        told, epoch = self.told, self.epoch
        begin = self._ends[epoch - 1] if epoch else 0
        speed = told.step_tokens / told.step_seconds if told.step_seconds else 0.0
        return {
            "epoch": round(epoch + (self.step - begin) / (self._ends[epoch] - begin), 3),
            "current_epoch": epoch + 1,
            "total_epochs": self.request.epochs,
            "current_step": self.step,
            "total_steps": self.total,
            "tokens_per_second": round(speed, 1),
            "eta_seconds": round((self.total - self.step) * told.step_seconds, 1),
            "memory_mb": memory.used_mb(),
        }

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint needs beside the adapter to go on as if nothing had happened."""
        names = {parameter: name for name, parameter in self._parameters.items()}
        return checkpoints.optimizer_tensors(self.optimizer, names) | self._chance

    def restore(self, step: int, tensors: dict[str, Any], told: dict[str, Any]) -> None:
        """Stand where `tensors` were taken, after *step* steps."""
        names = {parameter: name for name, parameter in self._parameters.items()}
        checkpoints.load_optimizer(self.optimizer, names, tensors)
        checkpoints.load_random(tensors)
        self.step, self.told = step, Told(**told)

    def _learn(self, rows: list[int], answers: int) -> tuple[float, int]:
        """Add the gradients of one batch, of which this rank has its share; its part of the loss, and its tokens."""
        mine = rows[self._ranks.number :: self._ranks.count]
        if not mine:
            return 0.0, 0
        batch = self._lay([self._rows[row] for row in mine])
        loss = self._loss(batch) / answers
        loss.backward()
        return float(loss.detach()), batch.tokens

    def _lay(self, rows: list[TokenRow]) -> Batch:
        return lay(rows, self._place, padded=self._padded)

    def _loss(self, batch: Batch) -> Any:
        """The sum of the losses of the answers' tokens; no other token is ever compared with all words."""
        import torch

        with torch.autocast(self._place.type, torch.bfloat16, enabled=self._place.type == "cuda"):
            logits = self.model(**batch.inputs, use_cache=False).logits
        logits = logits.flatten(0, 1)
        if batch.kept is not None:
            logits = logits[batch.kept]
        return torch.nn.functional.cross_entropy(logits.float(), batch.labels, reduction="sum")

    def _batches_of_step(self) -> list[list[int]]:
        epoch, each = self.epoch, self.request.gradient_accumulation_steps
        first = (self.step - (self._ends[epoch - 1] if epoch else 0)) * each
        return self._plan(epoch)[first : first + each]

    def _plan(self, epoch: int) -> list[list[int]]:
        if epoch not in self._epochs:
            asked = self.request
            self._epochs[epoch] = plan(
                self._lengths,
                batch_size=asked.batch_size,
                seed=asked.seed,
                epoch=epoch,
                pack_to=asked.max_length if self._packs else 0,
                sort=self._padded,
            )
        return self._epochs[epoch]

    def _steps_of(self, epoch: int) -> int:
        return math.ceil(len(self._plan(epoch)) / self.request.gradient_accumulation_steps)

    def _note(self, loss: float, tokens: int, seconds: float) -> None:
        told = self.told
        fresh = not told.step_seconds
        if self.step - 1 in (0, *self._ends):
            told.loss_sum, told.loss_count = 0.0, 0
        told.tokens += tokens
        told.seconds += seconds
        told.loss_sum += loss
        told.loss_count += 1
        told.step_seconds = seconds if fresh else SPEED_MEMORY * told.step_seconds + (1 - SPEED_MEMORY) * seconds
        told.step_tokens = tokens if fresh else SPEED_MEMORY * told.step_tokens + (1 - SPEED_MEMORY) * tokens


def _sums(counts: list[int]) -> Iterator[int]:
    total = 0
    for count in counts:
        total += count
        yield total
