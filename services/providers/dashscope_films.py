"""DashScope's films: tasks, with a size for words alone and a resolution beside a picture.

Source: help.aliyun.com/zh/model-studio, autumn 2026: what each family of models takes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.contracts.images import SourcePicture
from services.contracts.video import ShotFilm, VideoModel, VideoRequest
from services.providers.base import Provider
from services.providers.dashscope_images import run_task, wrong_model
from services.providers.failures import no_answer
from services.providers.media_results import as_data_url, fetch_film, seed_for
from services.providers.sizes import Size, asked_size, nearest

if TYPE_CHECKING:
    from services.compute.progress import Job

FILMS = "/services/aigc/video-generation/video-synthesis"
MOST_TASK_SECONDS = 1800.0
SMALL: list[Size] = [(832, 480), (480, 832), (624, 624)]
MIDDLE: list[Size] = [(1280, 720), (720, 1280), (960, 960), (1088, 832), (832, 1088)]
LARGE: list[Size] = [(1920, 1080), (1080, 1920), (1440, 1440), (1632, 1248), (1248, 1632)]
SIZES = {"480P": SMALL, "720P": MIDDLE, "1080P": LARGE}
# By how a name begins, the longest first: the resolutions and the lengths in seconds.
TAKES: list[tuple[str, tuple[str, ...], tuple[int, ...]]] = [
    ("wanx2.1-t2v-turbo", ("480P", "720P"), (5,)),
    ("wanx2.1-i2v-turbo", ("480P", "720P"), (3, 4, 5)),
    ("wanx2.1", ("720P",), (5,)),
    ("wan2.2-i2v-flash", ("480P", "720P"), (5,)),
    ("wan2.2", ("480P", "1080P"), (5,)),
    ("wan2.5", ("480P", "720P", "1080P"), (5, 10)),
    ("", ("720P", "1080P"), (5, 10)),
]
# From here on pictures are named in a list, each with what it is.
TAKES_MEDIA = ("wan2.7", "wan3")
NOT_TAKEN = {"num_inference_steps": None, "guidance_scale": None}


class DashScopeCamera(VideoModel):
    """One film model."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("prompt"), model
        _, self._resolutions, self._lengths = next(row for row in TAKES if model.startswith(row[0]))

    def film(self, request: VideoRequest, *, target: Path, source: SourcePicture | None, job: "Job") -> ShotFilm:
        self._check(source)
        seed = job.once("seed", lambda: seed_for(request.seed))
        seconds = min(self._lengths, key=lambda length: abs(length - request.seconds))
        parameters: dict[str, Any] = {"seed": seed, "watermark": False, **self._size(request, source)}
        if len(self._lengths) > 1:
            parameters["duration"] = seconds
        body = {"model": self._model, "input": self._input(request, source), "parameters": parameters}
        output = run_task(self._provider, FILMS, body, job=job, most_seconds=MOST_TASK_SECONDS)
        url = output.get("video_url") or (output.get("results") or {}).get("video_url")
        if not url:
            raise no_answer()
        fetch_film(url, target, self._provider.outbound)
        return ShotFilm(seed, dict(NOT_TAKEN), revision=self._model)

    def _check(self, source: SourcePicture | None) -> None:
        if source and "-t2v" in self._model:
            raise wrong_model(self._model, "image-to-video", "wan2.5-i2v-preview")
        if not source and "-i2v" in self._model:
            raise wrong_model(self._model, "text-to-video", "wan2.2-t2v-plus")

    def _input(self, request: VideoRequest, source: SourcePicture | None) -> dict[str, Any]:
        asked: dict[str, Any] = {"prompt": request.prompt} if request.prompt else {}
        if request.negative_prompt:
            asked["negative_prompt"] = request.negative_prompt
        if source and self._model.startswith(TAKES_MEDIA):
            asked["media"] = [{"type": "first_frame", "url": as_data_url(source)}]
        elif source:
            asked["img_url"] = as_data_url(source)
        return asked

    def _size(self, request: VideoRequest, source: SourcePicture | None) -> dict[str, str]:
        wanted = asked_size(request.width, request.height)
        if wanted is None:
            return {}
        resolution, size = nearest_size(wanted, self._resolutions)
        return {"resolution": resolution} if source else {"size": f"{size[0]}*{size[1]}"}


def nearest_size(wanted: Size, resolutions: tuple[str, ...]) -> tuple[str, Size]:
    """The resolution, and the size of it, that come nearest to *wanted*."""
    named = {size: resolution for resolution in resolutions for size in SIZES[resolution]}
    size = nearest(wanted, list(named))
    return named[size], size
