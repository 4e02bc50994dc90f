"""`make bench-images`: seconds per picture through the service, beside diffusers called directly.

    python -m tests.bench.images [--rounds 5] [--sizes tiny large] [--json FILE]

The same pipelines with random weights for both: a tiny one with many steps, and one of Stable Diffusion 1.5's own
size (1.1 billion weights, 4.3 GB in fp32), which asks for 12 GB of memory. Both stay loaded and paint in turn; the
service's time is the client's, from its request to the finished task, with the job, the file and the history in it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import requests

from tests import tiny_models
from tests.bench import processes, report
from tests.bench.processes import SERVICE, Program

DIRECT = "diffusers directly"
PLANS: dict[str, dict[str, Any]] = {
    "tiny": {"prompt": "a lighthouse", "width": 128, "height": 128, "num_inference_steps": 40, "guidance_scale": 7.5},
    "large": {"prompt": "a lighthouse", "width": 256, "height": 256, "num_inference_steps": 4, "guidance_scale": 7.5},
}


def main() -> None:
    options = parse_options()
    processes.end_cleanly()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        models = {size: build(size, Path(folder)) for size in options.sizes}
        service = processes.service(Path(folder), None, MODELS_DIR=f"{folder}/models", CPU_THREADS=options.threads)
        try:
            service.start()
            service.token = processes.log_in(service)
            seen = {size: compare(service, size, models[size], options) for size in options.sizes}
        finally:
            service.stop()
    print(report.table(["seconds a picture", DIRECT, SERVICE, "ratio"], [row(size, seen[size]) for size in seen]))
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(seen, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", choices=list(PLANS), default=list(PLANS))
    parser.add_argument("--threads", default="0", help="CPU_THREADS of both")
    parser.add_argument("--json", help="a file for every figure of every round")
    return parser.parse_args()


def build(size: str, folder: Path) -> Path:
    """The folder of the pipeline with random weights, where the service finds it."""
    target = folder / "models" / f"bench-{size}"
    pipeline = tiny_models.stable_diffusion() if size == "tiny" else large()
    pipeline.save_pretrained(target, safe_serialization=True)
    return target


def large() -> Any:
    """Stable Diffusion 1.5's shapes, which are the classes' defaults but for what stands here."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer, deep = tiny_models.clip_tokenizer(), ("DownEncoderBlock2D",) * 4
    text = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=deep,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def compare(service: Program, size: str, model: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each picture; the first of each loads the model and does not count. Who begins changes."""
    seconds: dict[str, list[float]] = {DIRECT: [], SERVICE: []}
    with processes.asking("tests.bench.paint", str(model), CPU_THREADS=options.threads) as told:
        paint: dict[str, Callable[[dict[str, Any]], float]] = {
            DIRECT: lambda plan: float(told(plan)["seconds"]),
            SERVICE: lambda plan: through(service, plan),
        }
        for number in range(options.rounds + 1):
            plan = PLANS[size] | {"seed": number, "model_id": model.name}
            for name in sorted(paint, reverse=bool(number % 2)):
                took = paint[name](plan)
                seconds[name] += [took] if number else []
    return seconds


def through(service: Program, plan: dict[str, Any]) -> float:
    """How long a client waits for the picture."""
    headers = {"Authorization": f"Bearer {service.token}", "Prefer": "wait=600"}
    address = f"http://127.0.0.1:{service.port}/api/text-to-image/generate"
    started = time.perf_counter()
    answer = requests.post(address, json=plan, headers=headers, timeout=630)
    took = time.perf_counter() - started
    if answer.status_code != 200 or answer.json()["status"] != "completed":
        raise RuntimeError(answer.text)
    return took


def row(size: str, seen: dict[str, list[float]]) -> list[str]:
    """The medians, and the median of each round's ratio."""
    ratios = [ours / theirs for theirs, ours in zip(seen[DIRECT], seen[SERVICE], strict=True)]
    return [size, f"{median(seen[DIRECT]):.3f}", f"{median(seen[SERVICE]):.3f}", f"{median(ratios):.3f}"]


if __name__ == "__main__":
    main()
