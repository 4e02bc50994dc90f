"""`make bench-recognition`: pictures a second through the service, beside its classifier called directly.

    python -m tests.bench.recognition [--rounds 6] [--seconds 2] [--clients 1 8 32] [--json FILE]

Both read the same photograph from the bytes of its file and classify it with the starter's real weights. The engine
is called one picture after another, and in batches as large as there are clients; nothing else runs beside it. The
service's clients each send the file anew, as a form, as soon as they were answered.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from PIL import Image

from tests.bench import processes, report
from tests.bench.processes import SERVICE, Program
from tests.live import ROOT
from tests.photographs import photograph

MODEL = "efficientnet-lite0"
ROUTE = "/api/image-recognition/classify"
ONE_BY_ONE, IN_BATCHES = "one by one", "in batches"
Figures = dict[str, list[float]]


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    models = Path(options.models)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "coffee.jpg"
        Image.open(photograph("coffee")).convert("RGB").save(file, quality=90)
        settings = {"MODELS_DIR": str(models), "CPU_THREADS": options.threads}
        service = processes.service(Path(folder), None, **settings)
        try:
            service.start()
            service.token = processes.log_in(service)
            with processes.asking("tests.bench.look", str(models), MODEL, CPU_THREADS=options.threads) as told:
                seen = compare(service, told, str(file), options)
        finally:
            service.stop()
    print(report.table(["pictures/s", ONE_BY_ONE, IN_BATCHES, SERVICE, "to batches", "p50 ms"], rows(seen)))
    if alone := seen.get(1):
        print(
            f"\np50 alone: {median(alone['direct p50']):.1f} ms directly, {median(alone['p50']):.1f} ms through the "
            f"service; within a round {median(added_ms(alone)):.1f} ms more"
        )
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(seen, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    # Short ones, since the speed of a virtual machine changes within seconds.
    parser.add_argument("--seconds", type=float, default=2, help="how long each measurement takes")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", default="0", help="CPU_THREADS of both")
    parser.add_argument("--models", default=str(ROOT / "models"), help="the folder of the models")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


def compare(
    service: Program, told: Callable[[dict[str, Any]], dict[str, Any]], file: str, options: argparse.Namespace
) -> dict[int, Figures]:
    """Every figure of every round by the number of clients. The first, short one of each warms it up."""
    through(service, file, 1, 1)
    told({"file": file, "together": 1, "seconds": 1})
    seen: dict[int, Figures] = {clients: {} for clients in options.clients}
    for number in range(options.rounds):
        # Who begins changes, so that a machine that slows down is no one's disadvantage.
        for clients in sorted(options.clients, reverse=bool(number % 2)):
            for name, figure in one_round(service, told, file, clients, options.seconds).items():
                seen[clients].setdefault(name, []).append(figure)
    return seen


def one_round(
    service: Program,
    told: Callable[[dict[str, Any]], dict[str, Any]],
    file: str,
    clients: int,
    seconds: float,
) -> dict[str, float]:
    """The service between the engine's two ways, which are the same for one client: a change of speed shifts both."""
    alone = told({"file": file, "together": 1, "seconds": seconds})
    ours = through(service, file, clients, seconds)
    batches = told({"file": file, "together": clients, "seconds": seconds})
    return {
        ONE_BY_ONE: alone["pieces"] / alone["seconds"],
        IN_BATCHES: batches["pieces"] / batches["seconds"],
        SERVICE: ours["answers_a_second"],
        "p50": ours["p50_ms"],
        "p99": ours["p99_ms"],
        "direct p50": (alone["p50_ms"] + batches["p50_ms"]) / 2,
    }


def through(service: Program, file: str, clients: int, seconds: float) -> dict[str, Any]:
    """What *clients* of the service saw, none of whom may have been refused."""
    seen = processes.load(service, kind="picture", path=ROUTE, file=file, clients=clients, seconds=seconds)
    if seen["errors"]:
        raise RuntimeError(seen["example"])
    return seen


def rows(seen: dict[int, Figures]) -> list[list[str]]:
    return [
        [
            f"{clients} clients" if clients > 1 else "1 client",
            *(report.shown(median(figures[name])) for name in (ONE_BY_ONE, IN_BATCHES, SERVICE)),
            f"{median(ratios(figures)):.2f}",
            report.shown(median(figures["p50"])),
        ]
        for clients, figures in sorted(seen.items())
    ]


def ratios(figures: Figures) -> list[float]:
    """The service to the batches, within each round."""
    return [ours / theirs for ours, theirs in zip(figures[SERVICE], figures[IN_BATCHES], strict=True)]


def added_ms(figures: Figures) -> list[float]:
    """How much longer one picture takes through the service, within each round."""
    return [ours - theirs for ours, theirs in zip(figures["p50"], figures["direct p50"], strict=True)]


if __name__ == "__main__":
    main()
