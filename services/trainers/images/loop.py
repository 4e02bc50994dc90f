"""The loop of a classifier's training: batches, steps, and what is measured of them.

Everything that chance decides follows from the seed and the number of the step, or is kept with a checkpoint.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.contracts.training import TrainingRequest
from services.datasets.labelled_pictures import Labelled
from services.measures.classes import ClassMeasures, measure
from services.trainers import checkpoints
from services.trainers.images.features import TOGETHER, Features
from services.trainers.images.model import ImageModel
from services.trainers.images.parts import Parts
from services.trainers.images.views import Views
from services.trainers.schedule import diverged, learning_rate

MOST_GRADIENT_NORM = 1.0
# So many looks at each picture are enough for a head alone; epochs beyond that take them again.
MOST_TURNS = 4
# A feature that is the same for all pictures tells nothing, and is not made large.
LEAST_WIDTH = 1e-3

Check = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What is told of one step."""

    loss: float
    learning_rate: float
    grad_norm: float


class ImageLoop:
    """*model* learns the pictures of *parts*, one step after another; `step` is how many are done.

    With *features* the head alone learns, from what was computed once; otherwise every step looks at its pictures.
    """

    def __init__(
        self, model: ImageModel, parts: Parts, views: Views, request: TrainingRequest, features: Features | None
    ) -> None:
        import torch

        self.model, self.parts, self.request = model, parts, request
        self._views, self._features = views, features
        self.step = 0
        self._size = min(request.batch_size * request.gradient_accumulation_steps, len(parts.train))
        self.steps_an_epoch = math.ceil(len(parts.train) / self._size)
        numbers = {label: number for number, label in enumerate(model.labels)}
        self._classes = {picture.label: numbers[picture.label] for picture in parts.all()}
        self._weights = torch.tensor(self._class_weights(), device=model.device)
        self.optimizer = torch.optim.AdamW(
            model.learned.values(), lr=request.learning_rate, weight_decay=request.weight_decay
        )
        self._seen: tuple[int, Any] = (-1, None)
        self._middle: Any = None
        self._width: Any = None
        torch.manual_seed(request.seed)
        self._chance = checkpoints.random_tensors()

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.steps_an_epoch * self.request.epochs

    @property
    def epoch(self) -> int:
        """The epoch of the next step, from 0."""
        return min(self.step // self.steps_an_epoch, self.request.epochs - 1)

    def steps(self, *, check: Check) -> Iterator[Step]:
        """The steps that are left of this epoch; *check* hears how far a step's own looks are, and may raise."""
        first = self.step - self.epoch * self.steps_an_epoch
        order = self._order(self.epoch)
        batches = [order[start : start + self._size] for start in range(first * self._size, len(order), self._size)]
        looks = self._looks(batches, check)
        for batch in batches:
            yield self._advance(batch, looks)

    def judge(self, part: str, listed: Sequence[Labelled], *, check: Check) -> tuple[float, ClassMeasures]:
        """The mean loss on *listed*, looked at as they are, and what the model says of them."""
        import torch

        self.model.begin(learning=False)
        truth = self._truth(listed)
        with torch.inference_mode():
            logits = self._logits_of(part, listed, check).float().cpu()
        loss = float(torch.nn.functional.cross_entropy(logits, truth.cpu()))
        names = self.model.labels
        found = [names[number] for number in logits.argmax(-1).tolist()]
        return loss, measure([picture.label for picture in listed], found, labels=names)

    def tensors(self) -> dict[str, Any]:
        """All that a checkpoint needs to go on as if nothing had happened."""
        names = {parameter: name for name, parameter in self.model.learned.items()}
        weights = {f"model.{name}": parameter for name, parameter in self.model.learned.items()}
        return weights | checkpoints.optimizer_tensors(self.optimizer, names) | self._chance

    def restore(self, step: int, tensors: dict[str, Any]) -> None:
        """Stand where `tensors` were taken, after *step* steps."""
        import torch

        with torch.no_grad():
            for name, parameter in self.model.learned.items():
                parameter.copy_(tensors[f"model.{name}"])
        names = {parameter: name for name, parameter in self.model.learned.items()}
        checkpoints.load_optimizer(self.optimizer, names, tensors)
        checkpoints.load_random(tensors)
        self._chance = checkpoints.random_tensors()
        self.step = step

    def settle(self) -> None:
        """Let the head take features as the backbone gives them. The last deed: nothing is learned after it."""
        import torch

        if self._features is None:
            return
        middle, width = (one.to(self.model.device) for one in self._scale(lambda done: None))
        with torch.no_grad():
            self.model.head.weight /= width
            self.model.head.bias -= self.model.head.weight @ middle

    def _advance(self, batch: list[int], looks: Iterator[Any]) -> Step:
        import torch

        self.model.begin(learning=True)
        truth = self._truth([self.parts.train[number] for number in batch])
        weight = self._weights[truth].sum()
        self.optimizer.zero_grad(set_to_none=True)
        total, size = 0.0, self.request.batch_size
        for start in range(0, len(batch), size):
            losses: Any = torch.nn.functional.cross_entropy(
                next(looks), truth[start : start + size], weight=self._weights, reduction="sum"
            )
            (losses / weight).backward()
            total += float(losses.detach() / weight)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.learned.values(), MOST_GRADIENT_NORM))
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise diverged(self.step + 1)
        asked = self.request
        rate = learning_rate(self.step, total=self.total, peak=asked.learning_rate, warmup_ratio=asked.warmup_ratio)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.step += 1
        # Of the last whole step: one that is given up in its middle has thrown its dice in vain.
        self._chance = checkpoints.random_tensors()
        return Step(total, rate, norm)

    def _looks(self, batches: list[list[int]], check: Check) -> Iterator[Any]:
        """The model's word on each batch, by `batch_size` pictures; computed when it is asked for."""
        size, epoch = self.request.batch_size, self.epoch
        if self._features is not None:
            features = self._turn(epoch, check)
            for batch in batches:
                for start in range(0, len(batch), size):
                    yield self.model.head(features[batch[start : start + size]])
            return
        turn = f"{self.request.seed}/{epoch}" if self.request.augmentation else ""
        for batch in batches:
            listed = [self.parts.train[number] for number in batch]
            for _, arrays in self._views.batches(listed, size, turn=turn):
                check(0)
                yield self.model.logits(arrays)

    def _turn(self, epoch: int, check: Check) -> Any:
        """The features of all pictures to learn, as they look in *epoch*: first as they are, then varied."""
        number = epoch % MOST_TURNS if self.request.augmentation else 0
        if self._seen[0] != number:
            assert self._features is not None
            listed = self.parts.train
            turn = f"{self.request.seed}-{number}" if number else ""
            found = self._features.of("train", listed, turn=turn, check=lambda done: check(done / len(listed)))
            self._seen = (number, self._scaled(found, check))
        return self._seen[1]

    def _scale(self, check: Check) -> tuple[Any, Any]:
        """Around what and how widely the backbone's features lie, of the pictures to learn as they are.

        Taken away before the head, they make one learning rate as good for any backbone; `settle` puts them into
        the head's own weights. No feature is taken for narrower than the usual one: of a dozen pictures some happen
        to be nearly the same in it, and another look at them would lie far out.
        """
        if self._middle is None:
            assert self._features is not None
            plain = self._features.of("train", self.parts.train, check=lambda done: check(0))
            spread = plain.var(0, correction=0)
            self._middle, self._width = plain.mean(0), (spread + spread.mean()).sqrt().clamp_min(LEAST_WIDTH)
        return self._middle, self._width

    def _scaled(self, features: Any, check: Check) -> Any:
        middle, width = self._scale(check)
        return ((features - middle) / width).to(self.model.device)

    def _logits_of(self, part: str, listed: Sequence[Labelled], check: Check) -> Any:
        import torch

        if self._features is not None:
            features = self._features.of(part, listed, check=lambda done: check(0))
            return self.model.head(self._scaled(features, check))
        found = []
        for _, arrays in self._views.batches(listed, TOGETHER[self.model.device.type]):
            check(0)
            found.append(self.model.logits(arrays))
        return torch.cat(found)

    def _order(self, epoch: int) -> list[int]:
        import torch

        chance = torch.Generator().manual_seed(self.request.seed * 1_000_003 + epoch)
        order: list[int] = torch.randperm(len(self.parts.train), generator=chance).tolist()
        return order

    def _truth(self, listed: Sequence[Labelled]) -> Any:
        import torch

        return torch.tensor([self._classes[picture.label] for picture in listed], device=self.model.device)

    def _class_weights(self) -> list[float]:
        """What a picture of each class counts: with weights all classes count the same, however many they have."""
        if not self.request.class_weights:
            return [1.0] * len(self.model.labels)
        counts = Counter(picture.label for picture in self.parts.train)
        return [len(self.parts.train) / (len(counts) * counts[label]) for label in self.model.labels]
