"""diffusers called directly: what `bench-images` compares the service with.

    python -m tests.bench.paint MODEL_FOLDER

Reads plans such as `{"prompt": "…", "width": 256, "height": 256, "num_inference_steps": 20, "seed": 1}` from
standard input, one a line, and answers each with the seconds of the picture, written as a PNG file.
"""

import io
import sys
import time
from typing import Any

import orjson
import torch
from diffusers import DiffusionPipeline

from services.settings import Settings


def load_pipeline(folder: str) -> Any:
    """The pipeline in *folder*, in fp32, on as many threads as the service has."""
    if threads := Settings().cpu_threads:
        torch.set_num_threads(threads)
    pipeline = DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(pipeline: Any, plan: dict[str, Any]) -> float:
    """How many seconds the picture of *plan* takes."""
    asked = {name: value for name, value in plan.items() if name not in {"seed", "model_id"}}
    started = time.perf_counter()
    made = pipeline(**asked, generator=torch.Generator("cpu").manual_seed(plan["seed"]))
    made.images[0].save(io.BytesIO(), "PNG")
    return time.perf_counter() - started


def main() -> None:
    pipeline = load_pipeline(sys.argv[1])
    print("{}", flush=True)
    for line in sys.stdin:
        print(orjson.dumps({"seconds": paint(pipeline, orjson.loads(line))}).decode(), flush=True)


if __name__ == "__main__":
    main()
