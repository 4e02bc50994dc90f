"""One run of the classifier's recipe in its process: taken up, told of, kept, judged and written."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import orjson

from services.contracts.training import TrainingMetrics
from services.datasets.labelled_pictures import LabelledPictures
from services.errors import Cancelled
from services.measures.classes import ClassMeasures
from services.trainers import checkpoints, memory
from services.trainers.base import Run, Trained
from services.trainers.images import model
from services.trainers.images import parts as image_parts
from services.trainers.images.features import Features
from services.trainers.images.loop import ImageLoop, Step
from services.trainers.images.parts import Parts
from services.trainers.images.views import Views

ENGINE = "classifier"
EVALUATION = "evaluation.json"
TELL_SECONDS = 0.2
CHECKPOINT_SECONDS = 60.0
# The first part of a run's progress is reading all pictures.
READ_SHARE = 0.05
# Of an epoch of the head alone nearly all is looking.
LOOK_SHARE = 0.9
NAMED = 10


class ImageTraining:
    """One run in its process, from its first picture or from its newest checkpoint."""

    def __init__(self, run: Run, source: LabelledPictures, views: Views) -> None:
        self.run, self.views = run, views
        self.measured: dict[str, Any] = {}
        self.told_at = self.kept_at = time.monotonic()
        self.fraction = 0.0
        found = image_parts.part(source.pictures, run.request.seed)
        self.key = _key(run, found)
        self.broken = self._broken(found)
        self.parts = found.without(set(self.broken))
        self.skipped = source.faults.count + len(self.broken)
        asked = run.request
        self.model = model.open_model(
            run.base, self.parts.labels, seed=asked.seed, frozen=asked.freeze_backbone, name=run.base_row.id
        )
        self.features = self._features()
        self.loop = ImageLoop(self.model, self.parts, views, asked, self.features)

    def finish(self) -> Trained:
        """The result in `final/`; of a run that is stopped what it has learned so far, if anything."""
        self._resume()
        try:
            while self.loop.step < self.loop.total:
                self._epoch()
            judged = self._judge()
        except Cancelled:
            if not self.loop.step:
                raise
            self._keep()
            return self._result(None, stopped=True)
        trained = self._result(judged, stopped=False)
        if self.features:
            self.features.forget()
        return trained

    def _resume(self) -> None:
        found = checkpoints.newest(self.run.checkpoints, fits=lambda state: state.get("key") == self.key)
        if found:
            self.loop.restore(found.step, found.tensors())
            self.measured = found.state["measured"]
            self.run.job.log(f"The training goes on from step {found.step}.")

    def _epoch(self) -> None:
        asked, loop = self.run.request, self.loop
        epoch = loop.epoch
        share = LOOK_SHARE if self.features else 0.0
        for step in loop.steps(check=lambda done: self._progress((epoch + share * done) / asked.epochs)):
            at_end = loop.step % loop.steps_an_epoch == 0
            if at_end:
                self._validate()
            if at_end or loop.step % asked.save_steps == 0 or time.monotonic() - self.kept_at > CHECKPOINT_SECONDS:
                self._keep()
            self._tell(step, at_end=at_end)

    def _validate(self) -> None:
        if not self.parts.validation:
            return
        loss, found = self.loop.judge("validation", self.parts.validation, check=lambda done: self.run.job.check())
        self.measured = {"val_loss": loss, "accuracy": found.accuracy, "f1_score": found.f1_score}

    def _tell(self, step: Step, *, at_end: bool) -> None:
        loop, job = self.loop, self.run.job
        if not at_end and time.monotonic() - self.told_at < TELL_SECONDS:
            job.check()
            return
        self.told_at = time.monotonic()
        epochs = loop.step / loop.steps_an_epoch
        told = TrainingMetrics(
            epoch=round(epochs, 3),
            current_epoch=(loop.step - 1) // loop.steps_an_epoch + 1,
            total_epochs=self.run.request.epochs,
            current_step=loop.step,
            total_steps=loop.total,
            train_loss=step.loss,
            learning_rate=step.learning_rate,
            grad_norm=step.grad_norm,
            memory_mb=memory.used_mb(),
            **self.measured,
        )
        metrics = told.model_dump(exclude_none=True)
        self._progress(epochs / self.run.request.epochs, loss=step.loss, **metrics)

    def _progress(self, done: float, **metrics: Any) -> None:
        """Tell how far all is, which never goes back. Raises Cancelled."""
        self.fraction = max(self.fraction, READ_SHARE + (1 - READ_SHARE) * done * 0.99)
        if metrics or time.monotonic() - self.told_at >= TELL_SECONDS:
            self.told_at = time.monotonic()
            self.run.job.progress(self.fraction, **metrics)
        else:
            self.run.job.check()

    def _keep(self) -> None:
        """Write a checkpoint."""
        state = {"key": self.key, "measured": self.measured}
        checkpoints.write(self.run.checkpoints, self.loop.step, self.loop.tensors(), state)
        self.run.job.artifact("checkpoint", step=self.loop.step)
        self.kept_at = time.monotonic()

    def _judge(self) -> tuple[str, float, ClassMeasures] | None:
        """What judges the result, the loss on it, and how good the answers are."""
        part, listed = self.parts.judges
        if not listed:
            return None
        return part, *self.loop.judge(part, listed, check=lambda done: self.run.job.check())

    def _result(self, judged: tuple[str, float, ClassMeasures] | None, *, stopped: bool) -> Trained:
        metrics: dict[str, Any] = dict(self.measured)
        counts = {"train": self.parts.train, "validation": self.parts.validation, "test": self.parts.test}
        metrics["pictures"] = {name: len(part) for name, part in counts.items()} | {"skipped": self.skipped}
        metrics |= {"steps": self.loop.step, "labels": self.parts.labels}
        if judged:
            part, loss, found = judged
            # The last look on the way stays told beside the end's.
            metrics |= {"judged_on": part, "test_loss": loss, **found.told(), "pictures": metrics["pictures"]}
        self.loop.settle()
        with checkpoints.drafted(self.run.final) as folder:
            self.model.save(self.run.base, folder)
            (folder / EVALUATION).write_bytes(orjson.dumps(metrics, option=orjson.OPT_INDENT_2))
        return Trained(engine=ENGINE, abilities=["image-classification", "training"], metrics=metrics, stopped=stopped)

    def _broken(self, parts: Parts) -> list[str]:
        """The names of pictures that cannot be read, found once in a run."""
        place = self.run.folder / f"broken-{self.key}.json"
        if place.is_file():
            found: list[str] = orjson.loads(place.read_bytes())
            return found
        listed = parts.all()
        found = self.views.broken(listed, check=self._reading(len(listed)))
        self.run.folder.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(".part")
        draft.write_bytes(orjson.dumps(found))
        draft.replace(place)
        if found:
            self.run.job.log(f"{len(found)} pictures cannot be read and are left out: {', '.join(found[:NAMED])}")
        return found

    def _reading(self, count: int) -> Callable[[int], None]:
        def check(done: int) -> None:
            self.run.job.check()
            if time.monotonic() - self.told_at >= TELL_SECONDS:
                self.told_at = time.monotonic()
                self.run.job.progress(READ_SHARE * done / count)

        return check

    def _features(self) -> Features | None:
        """Where the backbone's features are kept, if the head alone learns and can learn from them."""
        if not self.run.request.freeze_backbone:
            return None
        self.model.begin(learning=False)
        _, arrays = next(self.views.batches(self.parts.train[:1], 1))
        if self.model.features(arrays) is None:
            return None
        return Features(self.model, self.views, self.run.folder / "features", self.key)


def _key(run: Run, parts: Parts) -> str:
    """What must be the same for a checkpoint to be of use: what was asked for, and the pictures and their parts."""
    asked = run.request.model_dump_json(exclude={"name", "description", "output_dir"})
    listed = [[(one.name, one.label) for one in part] for part in (parts.train, parts.validation, parts.test)]
    return hashlib.blake2b(asked.encode() + repr(listed).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
