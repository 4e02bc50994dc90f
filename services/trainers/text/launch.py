"""One LoRA run on every GPU of the machine: a process each, started by `accelerate launch`, told of by the first.

The processes share batches and sum gradients (`ranks.py`), so the result is that of one GPU but for rounding. What
they need stands in a file in the run's folder; a second file there asks them to stop, which all do after one step.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from services.compute import wire
from services.compute.progress import Job
from services.compute.told import TellingJob, hand_on
from services.contracts.models import CatalogRow
from services.contracts.training import TrainingRequest
from services.datasets.store import Located
from services.errors import Unavailable
from services.settings import ROOT, Settings
from services.trainers.base import Run, Trained

SPECIFICATION, STOP = "ranks.json", "ranks.stop"
# What the processes need of the settings; no key is among it.
NEEDED = {"models_dir", "data_dir", "cpu_threads", "max_dataset_mb", "max_upload_mb"}
LOCATED, TRAINED = TypeAdapter(Located), TypeAdapter(Trained)


def gpus() -> int:
    """How many GPUs there are."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def launch(run: Run, count: int) -> Trained:
    """Train *run* with *count* processes; their progress is its job's. Raises what they raise, and Unavailable."""
    specification, stop = run.folder / SPECIFICATION, run.folder / STOP
    run.folder.mkdir(parents=True, exist_ok=True)
    stop.unlink(missing_ok=True)
    specification.write_bytes(orjson.dumps(_specified(run)))
    process = subprocess.Popen(
        command(count, specification), cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )  # fmt: skip
    try:
        assert process.stdout is not None
        answer = hand_on(process.stdout, run.job, cancelled=stop.touch)
    finally:
        # The launcher ends the processes that it started when it is asked to.
        process.terminate()
        process.wait()
        specification.unlink(missing_ok=True)
        stop.unlink(missing_ok=True)
    if answer and "answer" in answer:
        trained: Trained = TRAINED.validate_python(answer["answer"])
        return trained
    if answer:
        wire.raise_packed(answer["error"])
    raise Unavailable(
        "The processes of this training died; the job's log lines say more.",
        "该训练的进程异常退出，详见任务日志。",
        details={"reason": "child_died", "exit_code": process.returncode},
    )


def command(count: int, specification: Path) -> list[str]:
    """The command that starts *count* processes; without GPUs torch's own launcher, which accelerate calls too."""
    module = ["-m", "services.trainers.text.rank", str(specification)]
    if not gpus():
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), *module]
    one_machine = ["--num_machines", "1", "--main_process_port", "0", "--mixed_precision", "no"]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(count)]
    return [*launcher, *one_machine, "--dynamo_backend", "no", *module]


def read(specification: Path, job: Job) -> Run:
    """The run that `launch` wrote down."""
    told = orjson.loads(specification.read_bytes())
    return Run(
        request=TrainingRequest.model_validate(told["request"]),
        base=Path(told["base"]),
        base_row=CatalogRow.model_validate(told["base_row"]),
        dataset=LOCATED.validate_python(told["dataset"]),
        folder=specification.parent,
        settings=Settings(_env_file=None, **told["settings"]),
        job=job,
    )


class RankJob(TellingJob):
    """The job as one of the processes sees it: the first tells the launcher, a file asks all to stop."""

    def __init__(self, stop: Path, *, first: bool) -> None:
        self._stop, self._first = stop, first

    @property
    def cancelled(self) -> bool:
        return self._stop.exists()

    def write(self, line: bytes) -> None:
        if self._first:
            os.write(1, line)


def _specified(run: Run) -> dict[str, Any]:
    return {
        "request": run.request.model_dump(mode="json"),
        "base": str(run.base),
        "base_row": run.base_row.model_dump(mode="json"),
        "dataset": LOCATED.dump_python(run.dataset, mode="json"),
        "settings": run.settings.model_dump(mode="json", include=NEEDED),
    }
