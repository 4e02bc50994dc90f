"""Pictures and films on diffusers: any pipeline of its own whose weights are safetensors, from a local folder.

One set of weights serves every task that its classes know. The same seed gives the same picture as diffusers
called directly: the generator is the CPU's, and several pictures are painted one after another, each by a
seed of its own. Source: huggingface/diffusers 0.42.
"""

import gc
import math
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from services import films, pictures
from services.contracts.images import ImageModel, ImageRequest, PaintedPictures, Picture, SourcePicture
from services.contracts.models import Ability, CatalogRow
from services.contracts.video import ShotFilm, VideoModel, VideoRequest
from services.engines import diffusion_memory as memory
from services.engines import diffusion_rows
from services.engines import diffusion_tasks as tasks
from services.engines.base import Engine
from services.engines.diffusion_folder import read_index
from services.engines.diffusion_steps import StepCounter
from services.engines.folders import ModelFolder
from services.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from PIL.Image import Image

    from services.compute.progress import Job

MANIFEST = "polymath.json"
# Every provider and every client takes a seed below this.
SEEDS = 2**31
PATIENCE_SECONDS = 0.2
# A camera's photo is shrunk before it is changed, to this many times the pixels that the model was made for.
LARGER_THAN_USUAL = 4


class Diffusion(Engine, ImageModel, VideoModel):
    """A pipeline of diffusers. Its methods may be called from many threads; they take turns."""

    name: ClassVar[str] = "diffusion"

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterator[CatalogRow]:
        return diffusion_rows.rows_of(folder)

    def load(self) -> None:
        index = read_index(self.path)
        import diffusers
        import torch
        import transformers

        if self.settings.cpu_threads:
            torch.set_num_threads(self.settings.cpu_threads)
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()
        self.placement = memory.place(self.memory_mb, self._largest_part_mb(), memory.free_gpu_mb())
        self._pipeline = tasks.pipeline_class(index).from_pretrained(
            str(self.path),
            dtype=getattr(torch, self.placement.dtype),
            variant=index.variant,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        self._tasks: dict[Ability, Any] = {}
        self._turn = threading.Lock()
        self._revision = _revision(self.path)

    def unload(self) -> None:
        import torch

        del self._pipeline, self._tasks
        gc.collect()
        if self.placement.device != "cpu":
            torch.cuda.empty_cache()

    def paint(self, request: ImageRequest, *, source: SourcePicture | None, job: "Job") -> PaintedPictures:
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed
        with self._task(request.ability, job) as pipeline:
            given = self._words(request, pipeline) | {"strength": request.strength if source else None}
            given |= _start(pipeline, source, request) if source else {}
            given = tasks.with_a_step(pipeline, tasks.arguments(pipeline, given))
            painted = []
            for number in range(request.n):
                steps = StepCounter(job, number, request.n)
                (image,) = self._run(pipeline, given, seed + number, steps).images
                painted.append(Picture(pictures.png(image), seed + number))
            return PaintedPictures(painted, tasks.used(pipeline, given), self._revision)

    def film(self, request: VideoRequest, *, target: Path, source: SourcePicture | None, job: "Job") -> ShotFilm:
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed
        with self._task(request.ability, job) as pipeline:
            given = self._words(request, pipeline) | {"num_frames": request.num_frames, "fps": request.fps}
            given |= _start(pipeline, source, request) if source else {}
            given = tasks.arguments(pipeline, given)
            frames = self._run(pipeline, given, seed, StepCounter(job)).frames[0]
            used = tasks.used(pipeline, given)
        note = {"prompt": request.prompt, "seed": seed, "model": self.row.id, "revision": self._revision}
        films.write(target, _checked(frames, job), fps=request.fps, parameters=used | note)
        return ShotFilm(seed, used, self._revision)

    @contextmanager
    def _task(self, ability: Ability, job: "Job") -> Iterator[Any]:
        """The pipeline for *ability*, for one thread at a time. Raises Cancelled, also while others are at work."""
        while not self._turn.acquire(timeout=PATIENCE_SECONDS):
            job.check()
        try:
            if ability not in self._tasks:
                self._tasks[ability] = tasks.adapt(self._pipeline, ability)
            pipeline = self._tasks[ability]
            memory.settle(pipeline, self.placement)
            yield pipeline
        finally:
            self._turn.release()

    def _words(self, request: ImageRequest | VideoRequest, pipeline: Any) -> dict[str, Any]:
        """What both kinds of requests ask for. Raises Invalid for a size that the pipeline cannot have."""
        step = tasks.unit(pipeline)
        for side in ("width", "height"):
            tasks.check_side(side, getattr(request, side), step)
        return {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt or None,
            "width": request.width,
            "height": request.height,
            "num_inference_steps": request.num_inference_steps,
            "guidance_scale": request.guidance_scale,
        }

    def _run(self, pipeline: Any, given: dict[str, Any], seed: int, steps: StepCounter) -> Any:
        """One call of *pipeline*. What it refuses before its first step is the request's fault."""
        import torch

        frames = given.get("num_frames", 1)
        pixels = given.get("width", 512) * given.get("height", 512) * frames
        memory.decode_in_tiles(pipeline, self.placement, pixels, film=frames > 1)
        pipeline.progress_bar = steps
        try:
            return pipeline(**given, generator=torch.Generator("cpu").manual_seed(seed))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise _too_little_memory() from error
        except ValueError as error:
            if steps.started:
                raise
            raise _refused(str(error)) from error
        finally:
            del pipeline.progress_bar
            pipeline.maybe_free_model_hooks()

    def _largest_part_mb(self) -> float:
        parts = [part for part in self.path.iterdir() if part.is_dir()]
        sizes = [sum(file.stat().st_size for file in part.rglob("*.safetensors")) for part in parts]
        return max(sizes, default=0) / 2**20


def _start(pipeline: Any, source: SourcePicture, request: ImageRequest | VideoRequest) -> dict[str, Any]:
    """The picture to start from, in the size that is asked for, else in its own as nearly as *pipeline* can."""
    image = pictures.read(source.data, max_pixels=source.width * source.height)
    step = tasks.unit(pipeline)
    most = tasks.usual_pixels(pipeline) * (1 if isinstance(request, VideoRequest) else LARGER_THAN_USUAL)
    width, height = _scaled(source, request.width, request.height, most)
    size = max(step, width // step * step), max(step, height // step * step)
    return {"image": image if image.size == size else _resized(image, size), "width": size[0], "height": size[1]}


def _scaled(source: SourcePicture, width: int | None, height: int | None, most_pixels: int) -> tuple[int, int]:
    """The asked size; a side that was left out keeps the picture's shape, and two keep within *most_pixels*."""
    if width or height:
        return (
            width or round(source.width * (height or 0) / source.height),
            height or round(source.height * (width or 0) / source.width),
        )
    shrunk = min(1.0, math.sqrt(most_pixels / (source.width * source.height)))
    return round(source.width * shrunk), round(source.height * shrunk)


def _resized(image: "Image", size: tuple[int, int]) -> "Image":
    from PIL import Image

    return image.resize(size, Image.Resampling.LANCZOS)


def _checked(frames: "list[Image]", job: "Job") -> "Iterator[Image]":
    for frame in frames:
        job.check()
        yield frame


def _revision(folder: Path) -> str:
    """Which version of the model this is, as far as its manifest tells."""
    try:
        return str(orjson.loads((folder / MANIFEST).read_bytes())["revision"])
    except (OSError, ValueError, KeyError):
        return ""


def _refused(why: str) -> Invalid:
    return Invalid(
        "prompt",
        "The model refused the request: {why}",
        "模型拒绝了请求：{why}",
        reason="refused",
        why=why[:300],
    )


def _too_little_memory() -> Unavailable:
    return Unavailable(
        "The GPU has too little memory for this; ask for a smaller picture or fewer frames.",
        "显存不足，请减小图片尺寸或帧数后重试。",
        details={"reason": "out_of_memory"},
    )
