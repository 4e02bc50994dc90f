"""A real trainer that takes no time: one number that comes nearer to its goal by each step, in place of LoRA's.

What it shall do on the way stands in the request's `description`, as JSON. Its state is a number that every step
multiplies, so a run that was broken off and went on has the same result as one that was not, or is wrong.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from services.assemble import Services
from services.contracts.models import InstalledFile, Manifest
from services.errors import Cancelled, Invalid, Unavailable
from services.trainers import base
from services.trainers.base import Estimate, Run, Trained, Trainer
from tests.source import ROOT

BASE = "smollm2-135m-instruct"
STEPS_AN_EPOCH = 10


class ToyTrainer(Trainer):
    """Ten steps an epoch; see `act` for what a description may ask for."""

    name: ClassVar[str] = "lora"

    def check(self, run: Run) -> Estimate:
        rows = sum(len(path.read_text().splitlines()) for path in run.dataset.parts.values())
        if rows < 2:
            raise Invalid("dataset_path", "One row is not enough.", "仅一行数据不够。", reason="too_few_rows")
        warnings = [{"en": "It is a toy.", "zh": "这是玩具。"}]
        return Estimate(rows=rows, longest=7, memory_mb=1, available_mb=1000, warnings=warnings)

    def train(self, run: Run) -> Trained:
        plan = json.loads(run.request.description or "{}")
        done, number = newest(run)
        note(plan, f"begin {done}")
        total = run.request.epochs * STEPS_AN_EPOCH
        try:
            for step in range(done + 1, total + 1):
                number *= 0.99
                act(plan, step, run)
                tell(run, step, total, number)
                if step % run.request.save_steps == 0:
                    save(run, step, number)
        except Cancelled:
            finish(run, number)
            return Trained(engine="llama_cpp", abilities=["chat"], stopped=True, metrics={"train_loss": number})
        finish(run, number)
        note(plan, f"end {number:.12f}")
        return Trained(engine="llama_cpp", abilities=["chat"], metrics={"train_loss": number, "val_loss": number})


def act(plan: dict[str, Any], step: int, run: Run) -> None:
    """Do what *plan* wants at *step*: `die` and `die_always` by a signal, `crash`, `diverge`, `hoard`, `wait`."""
    if step == plan.get("die") and run.job.attempt == 1 and not Path(plan["marks"]).exists():
        Path(plan["marks"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if step == plan.get("die_always"):
        os.kill(os.getpid(), signal.SIGKILL)
    if step == plan.get("crash"):
        raise ValueError("a secret path: /somewhere/private")
    if step == plan.get("hoard"):
        raise MemoryError
    if step == plan.get("diverge"):
        raise Unavailable("The loss is NaN.", "损失为 NaN。", details={"reason": "diverged"})
    while step == plan.get("wait") and not Path(plan["gate"]).exists():
        run.job.check()
        time.sleep(0.01)


def tell(run: Run, step: int, total: int, number: float) -> None:
    """Tell how far it is, as the real ones do."""
    told = {"current_step": step, "total_steps": total, "total_epochs": run.request.epochs, "train_loss": number}
    told |= {"epoch": step / STEPS_AN_EPOCH, "current_epoch": (step - 1) // STEPS_AN_EPOCH + 1}
    if step % STEPS_AN_EPOCH == 0:
        told |= {"val_loss": number}
    run.job.progress(step / total, learning_rate=run.request.learning_rate, **told)


def newest(run: Run) -> tuple[int, float]:
    """The step and the number of the newest checkpoint."""
    found = sorted(run.checkpoints.glob("step-*")) if run.checkpoints.is_dir() else []
    if not found:
        return 0, 1.0
    kept = json.loads((found[-1] / "state.json").read_text())
    return kept["step"], kept["number"]


def save(run: Run, step: int, number: float) -> None:
    draft = run.folder / "draft"
    draft.mkdir(parents=True)
    (draft / "state.json").write_text(json.dumps({"step": step, "number": number}))
    run.checkpoints.mkdir(exist_ok=True)
    draft.rename(run.checkpoints / f"step-{step:06d}")
    run.job.artifact("checkpoint", step=step)


def finish(run: Run, number: float) -> None:
    draft = run.folder / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / "weights.json").write_text(json.dumps({"number": number}))
    draft.rename(run.final)


def note(plan: dict[str, Any], line: str) -> None:
    """Leave a line for the test, with this process's number."""
    if "runs" in plan:
        with Path(plan["runs"]).open("a") as file:
            file.write(f"{line} {os.getpid()}\n")


def install() -> None:
    """Put the toy in LoRA's place in this process."""
    found: Callable[[], dict[str, type[Trainer]]] = base.all_trainers
    real = found()
    base.all_trainers = lambda: real | {"lora": ToyTrainer}  # type: ignore[assignment]


PYTHONPATH = os.pathsep.join([str(ROOT / "tests" / "toy_start"), str(ROOT)])


@pytest.fixture
def toy_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy trains in LoRA's place, here and in children."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    monkeypatch.setattr(base, "all_trainers", base.all_trainers)
    install()


def put_base(models_dir: Path) -> None:
    """A folder that counts as the installed starter model; the toy does not read it."""
    folder = models_dir / BASE
    folder.mkdir(parents=True)
    weights = InstalledFile(sha256="0" * 64, size_bytes=1)
    manifest = Manifest.model_validate(
        {
            "model": BASE,
            "source": "toys",
            "revision": "1",
            "licence": "own",
            "installed_at": "2026-01-01T00:00:00Z",
            "files": {"weights.gguf": weights},
        }
    )
    (folder / "weights.gguf").write_bytes(b"x")
    (folder / "polymath.json").write_text(manifest.model_dump_json())


def put_rows(data_dir: Path, name: str = "facts", rows: int = 20) -> str:
    """Rows that the operator put there by hand; how a request names them."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"instruction": f"q{n}", "output": f"a{n}"}) for n in range(rows)]
    (data_dir / f"{name}.jsonl").write_text("\n".join(lines))
    return f"data/{name}.jsonl"


@pytest.fixture
def toy_services(toy_trainer: None, services: Services) -> Services:
    """The services of one test with the toy, a base for it, and rows."""
    put_base(services.settings.models_dir)
    put_rows(services.settings.data_dir)
    return services
