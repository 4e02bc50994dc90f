"""`make bench-camera`: frames a second and milliseconds from a frame's sending to its answer, with 1 and 8 cameras.

    python -m tests.bench.camera [--rounds 3] [--seconds 5] [--cameras 1 8] [--modes faces detect] [--json FILE]

Every camera sends the same photograph, 640 pixels wide, as JPEG: 30 times a second as a browser would, and once more
as fast as it is answered. Faces are found with the starter's real weights; things by an RT-DETR of its smallest
published size with random weights, which takes as long as the real ones.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from PIL import Image

from tests import vision_models
from tests.bench import processes, report
from tests.bench.processes import Program
from tests.live import ROOT
from tests.photographs import photograph

FACES, DETECTOR = "dlib-faces", "bench-detector"
PATHS = {"faces": "/ws/camera?mode=faces", "detect": f"/ws/camera?mode=detect&model={DETECTOR}"}
RATES = {"30 a second": 30, "as answered": 0}
WIDTH, HEIGHT = 640, 480
Case = tuple[str, int, str]


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        models = prepare_models(Path(folder) / "models", options)
        file = Path(folder) / "frame.jpg"
        Image.open(photograph("astronaut")).convert("RGB").resize((WIDTH, HEIGHT)).save(file, quality=85)
        service = processes.service(Path(folder), None, MODELS_DIR=str(models), CPU_THREADS=options.threads)
        try:
            service.start()
            service.token = processes.log_in(service)
            seen = measure(service, str(file), options)
        finally:
            service.stop()
    print(report.table(["camera", "frames/s", "p50 ms", "p95 ms", "dropped"], [row(case, seen[case]) for case in seen]))
    if options.json:
        told = {" ".join(map(str, case)): rounds for case, rounds in seen.items()}
        Path(options.json).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="how long each measurement takes")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--modes", nargs="+", choices=list(PATHS), default=list(PATHS))
    parser.add_argument(
        "--size", choices=["small", "tiny"], default="small", help="of the detector; tiny is for trials"
    )
    parser.add_argument("--threads", default="0", help="CPU_THREADS of the service")
    parser.add_argument("--models", default=str(ROOT / "models"), help="the folder that has the starter's faces")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


def prepare_models(folder: Path, options: argparse.Namespace) -> Path:
    """A models folder with what the modes need."""
    folder.mkdir()
    if "faces" in options.modes:
        (folder / FACES).symlink_to(Path(options.models) / FACES)
    if "detect" in options.modes:
        model, processor = small_detector() if options.size == "small" else vision_models.rt_detr_v2()
        model.eval().save_pretrained(folder / DETECTOR)
        processor.save_pretrained(folder / DETECTOR)
    return folder


def small_detector() -> tuple[Any, Any]:
    """RT-DETR v2's shapes with a ResNet of 18 layers; what stands here differs from the classes' defaults."""
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    backbone = RTDetrResNetConfig(
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[128, 256, 512],
        hidden_expansion=0.5,
        decoder_layers=3,
        num_labels=80,
    )
    return RTDetrV2ForObjectDetection(config), vision_models.rt_processor(WIDTH)


def measure(service: Program, file: str, options: argparse.Namespace) -> dict[Case, list[dict[str, Any]]]:
    """Every round of every case; a short one of each mode loads its model and does not count."""
    for mode in options.modes:
        film(service, file, (mode, 1, "as answered"), 1)
    cases = [(mode, cameras, rate) for mode in options.modes for cameras in options.cameras for rate in RATES]
    seen: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
    for number in range(options.rounds):
        for case in cases[:: -1 if number % 2 else 1]:
            seen[case].append(film(service, file, case, options.seconds))
    return seen


def film(service: Program, file: str, case: Case, seconds: float) -> dict[str, Any]:
    """What the cameras of *case* saw, none of whom may have been refused."""
    mode, cameras, rate = case
    plan = {"path": PATHS[mode], "file": file, "cameras": cameras, "rate": RATES[rate], "seconds": seconds}
    asked = orjson.dumps({"port": service.port, "token": service.token, **plan}).decode()
    command = [sys.executable, "-m", "tests.bench.frames", asked]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=seconds + 120, check=True)
    told: dict[str, Any] = orjson.loads(ran.stdout)
    if told["errors"]:
        raise RuntimeError(told["example"])
    return told


def row(case: Case, rounds: list[dict[str, Any]]) -> list[str]:
    """The medians of a case's rounds; how many were dropped of what was sent."""
    mode, cameras, rate = case
    # A round in which a slow machine answered nobody has no milliseconds.
    told = [[one[name] for one in rounds if one[name] is not None] for name in ("frames_a_second", "p50_ms", "p95_ms")]
    sent = sum(one["sent_a_second"] for one in rounds)
    dropped = sum(1 - one["frames_a_second"] / one["sent_a_second"] for one in rounds) / len(rounds) if sent else 0
    name = f"{mode}, {cameras} camera{'s' if cameras > 1 else ''}, {rate}"
    return [name, *(report.shown(median(figures) if figures else None) for figures in told), f"{max(dropped, 0):.0%}"]


if __name__ == "__main__":
    main()
