"""LoRA and QLoRA: a small adapter is learned on every linear layer of a frozen language model.

Sources: Hu et al., 2021, LoRA, arXiv:2106.09685; Dettmers et al., 2023, QLoRA, arXiv:2305.14314. The recipe reads
from top to bottom: check, rows, model, loop, adapter.
"""

import hashlib
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

import orjson

from services.adapters.gguf import write_gguf_adapter
from services.datasets.reading import Limits
from services.datasets.tokens import Tokens
from services.errors import Cancelled, ServiceError
from services.trainers import base_weights, checkpoints, inputs, memory
from services.trainers.base import Estimate, Run, Trained, Trainer
from services.trainers.ranks import ONE, Ranks
from services.trainers.text import attention, footprint, launch, layers, model, prompting
from services.trainers.text.loop import Loop
from services.trainers.text.rows import TextRows, tokenizer, training_rows

CHECKPOINT_SECONDS = 60.0
GGUF = "adapter.gguf"
# What a run may say differently and still go on from its checkpoint.
NOT_OF_THE_RUN = {"name", "description", "output_dir", "save_steps"}


class Lora(Trainer):
    """Adapters of causal language models."""

    name: ClassVar[str] = "lora"

    def check(self, run: Run) -> Estimate:
        inputs.refuse_remote_code(run.base, run.base_row.id)
        shapes = base_weights.shapes(run.base)
        train, validation = _rows(run, tokenizer(run.base))
        lengths = [len(row) for row in train.rows]
        needed = footprint.needed_mb(shapes, run.request, lengths=lengths, gpu=memory.GPU.exists())
        return Estimate(
            rows=len(train.rows) + len(validation.rows),
            longest=max(train.longest, validation.longest),
            cut_rows=train.cut,
            memory_mb=round(needed),
            available_mb=round(footprint.check(needed)),
            warnings=_warnings(train, run.request.max_length),
        )

    def train(self, run: Run) -> Trained:
        count = launch.gpus()
        # Four bits and eight are computed by kernels that were tried on one GPU alone.
        if count > 1 and not run.request.quantization:
            base_weights.loadable(run.base, models_dir=run.settings.models_dir, tell=run.job.log)
            return launch.launch(run, count)
        with model.memory_told(), warnings.catch_warnings():
            # What libraries say of each other's next version is no line of a job's log.
            warnings.simplefilter("ignore", FutureWarning)
            return Recipe(run).train()


class Recipe:
    """One run from its rows to its adapter. Of several *ranks* the first tells and writes."""

    def __init__(self, run: Run, *, ranks: Ranks = ONE) -> None:
        self.run, self.ranks, self.began = run, ranks, time.monotonic()
        self._written = self.began
        # Until the first step was done.
        self.start_seconds = 0.0

    def train(self) -> Trained:
        """Learn, from the newest whole checkpoint where there is one, and write the adapter."""
        run, place = self.run, self._settle_device()
        run.job.progress(0.0, status="loading")
        self.folder = base_weights.loadable(run.base, models_dir=run.settings.models_dir, tell=run.job.log)
        self.tokens = tokenizer(self.folder)
        self.rows, self.validation = _rows(run, self.tokens)
        base = model.load_base(self.folder, run.request, place)
        padded = not attention.fits(base)
        if padded and run.request.packing:
            run.job.log("This model mixes rows that lie end to end: its rows are padded, and packing is left out.")
        self.model = model.with_adapter(base, run.request, base_name=run.base_row.id)
        if place == "cpu":
            layers.speed_up(self.model)
        rows = (self.rows.rows, self.validation.rows)
        self.loop = Loop(self.model, *rows, run.request, padded=padded, ranks=self.ranks)
        self._resume()
        self.model.train()
        return self._finish(stopped=not self._learn())

    def _settle_device(self) -> str:
        import torch

        if self.run.settings.cpu_threads:
            torch.set_num_threads(self.run.settings.cpu_threads)
        return model.device()

    def _learn(self) -> bool:
        """Step after step, with a checkpoint at least each epoch and each minute; False when it was stopped.

        Raises Cancelled where it was stopped before anything was learned.
        """
        loop, job = self.loop, self.run.job
        try:
            while loop.step < loop.total:
                told = loop.advance(check=job.check)
                self.start_seconds = self.start_seconds or time.monotonic() - self.began
                due = loop.at_end_of_epoch or loop.step % self.run.request.save_steps == 0
                told |= loop.validate(check=job.check) if due else {}
                if due or time.monotonic() - self._written >= CHECKPOINT_SECONDS:
                    self._write_checkpoint()
                self._tell(told)
                if self.ranks.count > 1 and self.ranks.any(job.cancelled):
                    raise Cancelled()
        except Cancelled:
            # The step that was broken off never happened: what is written is what the last whole one left.
            if not loop.step:
                raise
            self._write_checkpoint()
            return False
        return True

    def _tell(self, told: dict[str, float]) -> None:
        loss = told.pop("loss")
        facts = self.loop.facts() | {name: _short(value) for name, value in told.items()}
        fraction = 0.99 * self.loop.step / self.loop.total
        self.run.job.progress(fraction, status="training", loss=_short(loss), train_loss=_short(loss), **facts)

    def _write_checkpoint(self) -> None:
        self._written = time.monotonic()
        if not self.ranks.first:
            return
        told = self.loop.told
        state = {"run": self._fingerprint(), "told": {name: getattr(told, name) for name in told.__slots__}}
        checkpoints.write(self.run.checkpoints, self.loop.step, self.loop.tensors(), state, more=self._write_adapter)
        self.run.job.artifact("checkpoint", step=self.loop.step)

    def _resume(self) -> None:
        """Go on from the newest checkpoint of this very run."""
        fingerprint = self._fingerprint()
        found = checkpoints.newest(self.run.checkpoints, fits=lambda state: state.get("run") == fingerprint)
        if found is None:
            return
        model.load_adapter(self.model, found.folder)
        self.loop.restore(found.step, found.tensors(), found.state["told"])
        self.run.job.log(f"going on from step {found.step} of {self.loop.total}")

    def _fingerprint(self) -> str:
        """What must be the same for a checkpoint to be this run's."""
        asked = self.run.request.model_dump(mode="json", exclude=NOT_OF_THE_RUN)
        lengths = [len(row) for row in self.rows.rows]
        told = [asked, lengths, self.run.base_row.id]
        return hashlib.blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()

    def _write_adapter(self, folder: Path) -> None:
        model.write_adapter(
            self.model, self.folder, folder, chat_template=self.tokens.chat_template, told=self._how_trained()
        )

    def _how_trained(self) -> dict[str, Any]:
        """What whoever serves or measures the adapter must know of how its rows were worded."""
        run = self.run
        card = run.dataset.card
        return {
            "base_model": run.base_row.id,
            "format": run.dataset.format or "table",
            "template": (card.get("parameters") or {}).get("template"),
            "prompt_template": prompting.prompt_template(card),
            "max_length": run.request.max_length,
            "step": self.loop.step,
            "request": run.request.model_dump(mode="json"),
        }

    def _finish(self, *, stopped: bool) -> Trained:
        if self.ranks.first:
            with checkpoints.drafted(self.run.final) as part:
                self._write_adapter(part)
                _write_gguf(self.run, self.folder, part)
        # The engine that runs the base runs the adapter where it was converted for it, else transformers.
        converted = (self.run.final / GGUF).is_file()
        engine = "llama_cpp" if converted else "transformers_text"
        return Trained(engine=engine, abilities=["chat"], adapter=True, metrics=self._metrics(), stopped=stopped)

    def _metrics(self) -> dict[str, Any]:
        told, rows = self.loop.told, self.rows
        return {
            "train_loss": _short(told.loss_sum / max(told.loss_count, 1)),
            **{name: _short(value) for name, value in told.validation.items()},
            "steps": self.loop.step,
            "epochs": self.run.request.epochs,
            "rows": len(rows.rows),
            "validation_rows": len(self.validation.rows),
            "cut_rows": rows.cut,
            "left_out_rows": rows.unanswered + rows.faults.count,
            "tokens": told.tokens,
            "tokens_per_second": round(told.tokens / told.seconds, 1) if told.seconds else 0.0,
            "seconds": round(told.seconds, 1),
            "start_seconds": round(self.start_seconds, 2),
            "peak_memory_mb": memory.peak_mb(),
        }


def _write_gguf(run: Run, base: Path, folder: Path) -> None:
    """Add the adapter in the form of llama.cpp where the base is llama.cpp's; peft's own is always there."""
    if run.base_row.engine != "llama_cpp":
        return
    try:
        write_gguf_adapter(folder, base, folder / GGUF)
    except ServiceError as error:
        (folder / GGUF).unlink(missing_ok=True)
        run.job.log(f"The adapter stays on transformers: {error}")


def _rows(run: Run, tokens: Tokens) -> tuple[TextRows, TextRows]:
    limits = Limits.of(run.settings)
    return training_rows(run.dataset, tokens, max_length=run.request.max_length, limits=limits)


def _warnings(train: TextRows, max_length: int) -> list[dict[str, str]]:
    found = []
    if train.cut:
        en = f"{train.cut} rows are longer than max_length ({max_length} tokens) and are cut; the longest has "
        zh = f"有 {train.cut} 行超过 max_length（{max_length} 个 token），将从末尾截断；最长的有 "
        found.append({"en": f"{en}{train.longest}.", "zh": f"{zh}{train.longest} 个。"})
    if left := train.unanswered + train.faults.count:
        en = f"{left} rows have nothing to learn and are left out."
        found.append({"en": en, "zh": f"有 {left} 行没有可学习的内容，已忽略。"})
    return found


def _short(value: float) -> float:
    """A number as people read it, with six digits that count."""
    return float(f"{value:.6g}")
