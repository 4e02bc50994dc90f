"""`make bench-chat`: this service beside the proxies that one would write first, on one machine and in turn.

    python -m tests.bench.chat [--rounds 3] [--only "this service"] [--json FILE]

Every program is measured in every round, so that what else the machine does falls on all of them;
figures are medians over the rounds, and ratios are taken within a round before their median.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.bench import processes, report
from tests.bench.processes import Program

PIECES_A_SECOND = 40_000
CLIENTS = 32
WHOLE_SECONDS = 3.0
# Streams at once, and how many pieces each of them gets: about as much work at each step.
STREAMS = {50: 400, 200: 120, 500: 60}
MOST_SECONDS = 200.0


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), options.only) as programs:
        idle = {program.name: program.worker_mib() for program in programs}
        for program in programs:  # A first call imports and connects; it is nobody's figure.
            processes.load(program, kind="whole", clients=8, seconds=0.5)
        rounds: list[dict[str, dict[str, float]]] = []
        while len(rounds) < options.rounds and time.monotonic() - started < MOST_SECONDS * (1 - 1 / (len(rounds) + 2)):
            rounds.append({program.name: measure(program) for program in programs})
            print(f"round {len(rounds)} of {options.rounds} after {time.monotonic() - started:.0f} s", flush=True)
        facts = {program.name: facts_of(program, idle[program.name]) for program in programs}
    print(report.beside(rounds, facts))
    if options.json:
        Path(options.json).write_bytes(orjson.dumps({"rounds": rounds, "facts": facts}, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="measure the program of this name alone")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


@contextmanager
def running(folder: Path, only: str | None = None) -> Iterator[list[Program]]:
    """The programs, started one after another and ended in the end."""
    provider = processes.upstream(folder, PIECES_A_SECOND)
    programs = [
        processes.bare_proxy(folder, provider, "gthread"),
        processes.bare_proxy(folder, provider, "gevent"),
        processes.service(folder, provider),
    ]
    started = []
    try:
        for program in [provider, *(one for one in programs if only in {None, one.name})]:
            started.append(program.start())
            if program.name == processes.SERVICE:
                time_second_start(program)
                program.token = processes.log_in(program)
        yield started[1:]
    finally:
        for program in reversed(started):
            program.stop()


def time_second_start(program: Program) -> None:
    """The first start made the database; the usual one finds it there."""
    program.stop()
    program.start()


def measure(program: Program) -> dict[str, float]:
    """One round of one program."""
    seen = processes.load(program, kind="whole", clients=CLIENTS, seconds=WHOLE_SECONDS)
    figures = {"requests/s": seen["answers_a_second"], "p50 ms": seen["p50_ms"], "p99 ms": seen["p99_ms"]}
    figures["CPU µs a request"] = seen["worker_seconds"] * 1e6 / max(1, seen["answers"])
    errors = tell_errors(program, seen, "whole")
    for streams, pieces in STREAMS.items():
        seen = processes.load(program, kind="stream", clients=streams, pieces=pieces)
        figures[f"chunks/s at {streams}"] = seen["pieces_a_second"]
        figures[f"CPU µs a chunk at {streams}"] = seen["worker_seconds"] * 1e6 / max(1, seen["pieces"])
        figures[f"first p50 ms at {streams}"] = seen["p50_ms"]
        figures[f"first p99 ms at {streams}"] = seen["p99_ms"]
        figures[f"errors at {streams}"] = tell_errors(program, seen, f"{streams} streams")
    figures["errors whole"] = errors
    return figures


def tell_errors(program: Program, seen: dict[str, Any], what: str) -> int:
    if seen["errors"]:
        print(f"{program.name}, {what}: {seen['errors']} errors, such as {seen['example']!r}", flush=True)
    return int(seen["errors"])


def facts_of(program: Program, idle_mib: float) -> dict[str, float]:
    """What is measured once: memory of a web worker, and the time to the first answer."""
    return {
        "worker RSS idle MiB": idle_mib,
        "worker RSS after load MiB": program.worker_mib(),
        "ready s (first start)": program.ready_seconds[0],
        "ready s": program.ready_seconds[-1],
    }


if __name__ == "__main__":
    main()
