"""`make bench-local`: a local chat through the service, beside xllamacpp called directly.

    python -m tests.bench.local [--rounds 3] [--model smollm2-135m-instruct] [--json FILE]

Both models are loaded at the same time and asked in turn, alone and 16 at once; an idle one takes no
processor. A round asks each six times alone, since one chat takes a second or two, in which a machine's speed
may change. While 16 chats run through the service once more, `/health` is asked twenty times a second.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.bench import processes, report
from tests.bench.processes import SERVICE, Program
from tests.live import ROOT

QUESTION = "Write a long story about a lighthouse keeper, his daughter, and a storm that lasts for three days."
TOKENS = 128
AT_ONCE = 16
TIMES = {1: 6, AT_ONCE: 1}
DIRECT = "xllamacpp directly"
Ask = Callable[..., dict[str, Any]]


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    weights = ROOT / "models" / options.model
    files = sorted(weights.rglob("*.gguf"))
    if not files:
        sys.exit(f"There is no GGUF file in models/{options.model}; run: flask models pull {options.model}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), options) as service:
        with direct(files[0], options.threads) as ask_directly:
            peers: dict[str, Ask] = {DIRECT: ask_directly, SERVICE: through(service, options.model)}
            for ask in peers.values():
                ask(1)
            rounds = [one_round(peers, number) for number in range(options.rounds)]
        health = watch_health(service, through(service, options.model))
    print(report.beside(rounds, {DIRECT: {}, SERVICE: health}))
    if options.json:
        Path(options.json).write_bytes(orjson.dumps({"rounds": rounds, "health": health}, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder in models/ with a GGUF file")
    parser.add_argument("--threads", default="0", help="CPU_THREADS of both; 1 where others use the machine too")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


@contextmanager
def running(folder: Path, options: argparse.Namespace) -> Iterator[Program]:
    """The service, over the installed models."""
    models = str(ROOT / "models")
    program = processes.service(folder, None, MODELS_DIR=models, CPU_THREADS=options.threads)
    try:
        program.start()
        program.token = processes.log_in(program)
        yield program
    finally:
        program.stop()


@contextmanager
def direct(file: Path, threads: str) -> Iterator[Ask]:
    """A way to ask llama.cpp without the service, in a process of its own."""
    with processes.asking("tests.bench.direct", str(file), CPU_THREADS=threads) as told:
        yield lambda clients: told({"clients": clients, "pieces": TOKENS, "question": QUESTION, "temperature": 0})


def through(program: Program, model: str) -> Ask:
    """A way to ask the same through the service."""

    def ask(clients: int) -> dict[str, Any]:
        plan = {"clients": clients, "pieces": TOKENS, "question": QUESTION, "temperature": 0}
        seen = processes.load(program, kind="stream", model=model, any_length=True, **plan)
        if seen["errors"]:
            print(f"{SERVICE}: {seen['errors']} errors, such as {seen['example']!r}", flush=True)
        return seen

    return ask


def one_round(peers: dict[str, Ask], number: int) -> dict[str, dict[str, float]]:
    """Each asked alone and many at once; who begins changes from round to round."""
    figures: dict[str, dict[str, float]] = {name: {} for name in peers}
    for clients, times in TIMES.items():
        turns = [sorted(peers, reverse=bool((number + turn) % 2)) for turn in range(times)]
        seen = [(name, peers[name](clients)) for turn in turns for name in turn]
        for name in peers:
            own = [one for peer, one in seen if peer == name]
            figures[name][f"tokens/s, {clients} at once"] = median(one["pieces_a_second"] for one in own)
            figures[name][f"first token p50 ms, {clients} at once"] = median(one["p50_ms"] for one in own)
            figures[name][f"errors, {clients} at once"] = sum(one["errors"] for one in own)
    return figures


def watch_health(program: Program, ask: Ask) -> dict[str, float]:
    """How fast `/health` answers while many chats run."""
    chats = threading.Thread(target=ask, args=(AT_ONCE,))
    chats.start()
    seen = processes.load(program, kind="health", clients=1, seconds=3, pause=0.05)
    chats.join()
    return {"/health p50 ms meanwhile": seen["p50_ms"], "/health p99 ms meanwhile": seen["p99_ms"]}


if __name__ == "__main__":
    main()
