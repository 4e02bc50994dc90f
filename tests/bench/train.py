"""`make bench-train`: tokens a second of a LoRA run of the starter model, beside the shortest honest loop.

    python -m tests.bench.train [--rows 512] [--rounds 1] [--only "this service"] [--json FILE]

The loop (`tests/bench/train_peer.py`) is transformers and peft as their documents show them: rows padded to the
longest of their batch, loss on the answers alone. Both learn the same rows with the same settings, each in a process
of its own: tokens are those of the rows, without padding; memory is the peak of the process; the first step counts
from the start of the process, libraries and all.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from services.trainers import base_weights
from tests.bench import report
from tests.bench.processes import SERVICE
from tests.live import ROOT

MODEL = "smollm2-135m-instruct"
PEER, PACKED = "transformers + peft", "packed"
PROGRAMS = {SERVICE: [], PEER: ["--peer"], PACKED: ["--packing"]}
TEXT = (
    "the quick brown fox jumps over a lazy dog while seven small wizards brew strong potions in old stone towers near "
    "quiet rivers and nobody asks why green lamps are lit at noon by those who never sleep"
)
WORDS = TEXT.split()


def main() -> None:
    options = parse_options()
    if options.one:
        print(orjson.dumps(learn(options)).decode())
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows(options.rows)))
        # Dequantized before anything is measured: it is done once for each base.
        base_weights.loadable(Path(options.models) / MODEL, models_dir=Path(options.models), tell=print)
        rounds = [measure(file, options, number) for number in range(options.rounds)]
    print(report.beside(rounds, {name: {} for name in rounds[0]}))
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(rounds, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--quantization", choices=["int8", "int4"])
    parser.add_argument("--threads", type=int, default=0, help="threads of each; 0 takes every core")
    parser.add_argument("--models", default=str(ROOT / "models"), help="the folder of the models")
    parser.add_argument("--only", choices=sorted(PROGRAMS), help="measure one of them")
    parser.add_argument("--json", help="a file for every figure of every round")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--packing", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def rows(count: int) -> list[dict[str, str]]:
    """Questions and answers of many lengths, most of them short, the same each time."""
    chance = random.Random(4)

    def say(low: int, high: int) -> str:
        return " ".join(chance.choices(WORDS, k=int(low * (high / low) ** chance.random())))

    return [{"instruction": say(4, 40), "output": say(4, 160)} for _ in range(count)]


def measure(file: Path, options: argparse.Namespace, number: int) -> dict[str, dict[str, float]]:
    """The figures of one round; who begins changes from round to round."""
    names = [options.only] if options.only else list(PROGRAMS)
    told = {}
    for name in reversed(names) if number % 2 else names:
        told[name] = in_process(file, options, PROGRAMS[name])
        print(name, told[name], flush=True)
    return {name: told[name] for name in names}


def in_process(file: Path, options: argparse.Namespace, which: list[str]) -> dict[str, float]:
    same = ["batch_size", "max_length", "threads", "models"] + (["quantization"] if options.quantization else [])
    given = [word for name in same for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    command = [sys.executable, "-m", "tests.bench.train", "--one", str(file), *given, *which]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    found: dict[str, float] = orjson.loads(ran.stdout.splitlines()[-1])
    return found


def learn(options: argparse.Namespace) -> dict[str, float]:
    """One epoch in this process; its figures."""
    request = asked(options)
    if options.peer:
        from tests.bench import train_peer

        folder = base_weights.loadable(Path(options.models) / MODEL, models_dir=Path(options.models))
        return train_peer.learn(folder, Path(options.one), request, options.threads)
    return learn_here(options, request)


def asked(options: argparse.Namespace) -> Any:
    from services.contracts.training import TrainingRequest

    return TrainingRequest(
        trainer="lora",
        base_model=MODEL,
        dataset_path="rows",
        epochs=1,
        batch_size=options.batch_size,
        max_length=options.max_length,
        learning_rate=2e-4,
        packing=options.packing,
        quantization=options.quantization,
        save_steps=10_000,
    )


def learn_here(options: argparse.Namespace, request: Any) -> dict[str, float]:
    from services.compute.progress import Job
    from services.contracts.models import CatalogRow
    from services.datasets.store import Located
    from services.settings import Settings
    from services.trainers import memory
    from services.trainers.base import Run, find_trainer
    from tests.bench.train_peer import since_start

    class First(Job):
        seconds = 0.0

        def progress(self, fraction: float, **told: Any) -> None:
            if "loss" in told and not self.seconds:
                self.seconds = since_start()

    file, job = Path(options.one), First()
    row = CatalogRow(id=MODEL, name=MODEL, abilities=["chat"], licence="own", engine="transformers_text")
    # A part for validation of its own, so that no row is held out.
    parts = {"train": file, "validation": empty(file)}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run = Run(
            request=request,
            base=Path(options.models) / MODEL,
            base_row=row,
            dataset=Located("rows", "me", "rows", "rows", file.parent, parts, "alpaca"),
            folder=Path(folder) / "run",
            settings=Settings(_env_file=None, models_dir=Path(options.models), cpu_threads=options.threads),
            job=job,
        )
        metrics = find_trainer("lora").train(run).metrics
    return {
        "tokens/s": metrics["tokens_per_second"],
        "loss": metrics["train_loss"],
        "first step, s": job.seconds,
        "memory, MB": memory.peak_mb(),
    }


def empty(file: Path) -> Path:
    path = file.with_name("none.jsonl")
    path.touch()
    return path


if __name__ == "__main__":
    main()
