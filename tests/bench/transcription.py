"""`make bench-transcription`: sounds written down through the service, beside faster-whisper called directly.

    python -m tests.bench.transcription [--rounds 2] [--stories 1 10] [--json FILE]

A story of half a minute is told by the starter voice, once and as often as asked for; the longest sounds are heard
in a process of their own, whose start counts. The real-time factor is the time from sending the file to having its
text, over the length of the sound; the service and the library hear the same file in turn, and the same words.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import requests

from tests.bench import processes, report
from tests.bench.processes import SERVICE, Program
from tests.live import ROOT
from tests.sounds import RATE, STORY, starter_voice, write_sound

MODEL = "whisper-base"
DIRECT = "faster-whisper directly"
Hear = Callable[[str], dict[str, Any]]
Figures = dict[str, list[float]]


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    models = Path(options.models)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        sounds = tell(starter_voice(models)(STORY), options.stories, Path(folder))
        settings = {"MODELS_DIR": str(models), "CPU_THREADS": options.threads}
        service = processes.service(Path(folder), None, **settings)
        try:
            service.start()
            service.token = processes.log_in(service)
            with processes.asking("tests.bench.hear", str(models / MODEL), CPU_THREADS=options.threads) as told:
                peers: dict[str, Hear] = {DIRECT: lambda file: told({"file": file}), SERVICE: through(service)}
                seen = compare(peers, sounds, options.rounds)
        finally:
            service.stop()
    print(report.table(["real-time factor", DIRECT, SERVICE, "to direct", "lowest", "highest"], rows(seen)))
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(seen, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--stories", type=int, nargs="+", default=[1, 10], help="how often the story is told")
    parser.add_argument("--threads", default="0", help="CPU_THREADS of both")
    parser.add_argument("--models", default=str(ROOT / "models"), help="the folder of the models")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


def tell(story: Any, times: list[int], folder: Path) -> dict[float, str]:
    """The file of each sound by its length in seconds."""
    return {
        len(story) * number / RATE: str(write_sound(folder / f"story-{number}.mp3", np.tile(story, number)))
        for number in times
    }


def through(service: Program) -> Hear:
    """A way to have a file written down by the service."""
    url = f"http://127.0.0.1:{service.port}/api/audio/transcribe"
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {service.token}"

    def hear(file: str) -> dict[str, Any]:
        started = time.perf_counter()
        with Path(file).open("rb") as sound:
            form = {"language": "en", "model": MODEL}
            answer = session.post(url, files={"audio": sound}, data=form, timeout=600)
        answer.raise_for_status()
        return {"seconds": time.perf_counter() - started, "text": answer.json()["text"]}

    return hear


def compare(peers: dict[str, Hear], sounds: dict[float, str], rounds: int) -> dict[float, Figures]:
    """The real-time factors of every round by the length of the sound. A first, short sound warms both up."""
    for hear in peers.values():
        hear(sounds[min(sounds)])
    seen: dict[float, Figures] = {seconds: {name: [] for name in peers} for seconds in sounds}
    for number in range(rounds):
        for seconds, file in sounds.items():
            # Who begins changes, so that a machine that slows down is no one's disadvantage.
            answers = {name: peers[name](file) for name in sorted(peers, reverse=bool(number % 2))}
            if seconds <= 60 and len({answer["text"] for answer in answers.values()}) > 1:
                raise RuntimeError(f"they hear different words: {answers}")
            for name, answer in answers.items():
                seen[seconds][name].append(answer["seconds"] / seconds)
    return seen


def rows(seen: dict[float, Figures]) -> list[list[str]]:
    return [
        [f"{seconds:.0f} s", *(f"{median(figures[name]):.3f}" for name in (DIRECT, SERVICE)), *ratios(figures)]
        for seconds, figures in sorted(seen.items())
    ]


def ratios(figures: Figures) -> list[str]:
    """The median ratio of the two within each round, the lowest and the highest."""
    each = [ours / direct for ours, direct in zip(figures[SERVICE], figures[DIRECT], strict=True)]
    return [f"{figure:.2f}" for figure in (median(each), min(each), max(each))]


if __name__ == "__main__":
    main()
