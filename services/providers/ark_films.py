"""Ark's films (seedance): tasks; a picture among the content is the first frame.

Source: Volcengine's documents 82379/1520757 and 82379/1521309.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.contracts.images import SourcePicture
from services.contracts.video import ShotFilm, VideoModel, VideoRequest
from services.errors import ServiceError, UpstreamFailed
from services.providers.base import Provider
from services.providers.failures import no_answer
from services.providers.media_results import as_data_url, fetch_film, seed_for
from services.providers.polling import Task, follow
from services.providers.sizes import Size, asked_size, nearest

if TYPE_CHECKING:
    from services.compute.progress import Job

TASKS = "/contents/generations/tasks"
MOST_TASK_SECONDS = 1800.0
SHORTEST_SECONDS, LONGEST_SECONDS = 2, 12
RATIOS: dict[Size, str] = {
    (16, 9): "16:9",
    (4, 3): "4:3",
    (1, 1): "1:1",
    (3, 4): "3:4",
    (9, 16): "9:16",
    (21, 9): "21:9",
}
RESOLUTIONS = {480: "480p", 720: "720p", 1080: "1080p"}
NOT_TAKEN = {"num_inference_steps": None, "guidance_scale": None, "negative_prompt": None}


class ArkCamera(VideoModel):
    """One film model behind the tasks."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("prompt"), model

    def film(self, request: VideoRequest, *, target: Path, source: SourcePicture | None, job: "Job") -> ShotFilm:
        seed = job.once("seed", lambda: seed_for(request.seed))
        task = Task(
            start=lambda: self._start(self._body(request, source, seed)),
            ask=lambda number: self._provider.ask("GET", f"{TASKS}/{number}"),
            runs=lambda view: view.get("status") in {"queued", "running"},
            result=self._result,
            give_up=lambda number: self._provider.ask("DELETE", f"{TASKS}/{number}"),
        )
        view = follow(task, job=job, most_seconds=MOST_TASK_SECONDS)
        url = (view.get("content") or {}).get("video_url")
        if not url:
            raise no_answer()
        fetch_film(url, target, self._provider.outbound)
        return ShotFilm(view.get("seed", seed), dict(NOT_TAKEN), revision=self._model)

    def _body(self, request: VideoRequest, source: SourcePicture | None, seed: int) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": request.prompt}] if request.prompt else []
        if source:
            picture = {"type": "image_url", "image_url": {"url": as_data_url(source)}, "role": "first_frame"}
            content.append(picture)
        seconds = min(max(round(request.seconds), SHORTEST_SECONDS), LONGEST_SECONDS)
        body = {"model": self._model, "content": content, "duration": seconds, "seed": seed, "watermark": False}
        if size := asked_size(request.width, request.height):
            body |= {"resolution": _resolution(size), "ratio": RATIOS[nearest(size, list(RATIOS))]}
        return body

    def _start(self, body: dict[str, Any]) -> str:
        number = self._provider.post(TASKS, body).get("id")
        if not number:
            raise no_answer()
        return str(number)

    def _result(self, view: dict[str, Any]) -> dict[str, Any]:
        if view.get("status") != "succeeded":
            raise _ended(view, self._provider)
        return view


def _resolution(size: Size) -> str:
    return RESOLUTIONS[min(RESOLUTIONS, key=lambda side: abs(side - min(size)))]


def _ended(view: dict[str, Any], provider: Provider) -> ServiceError:
    if view.get("error"):
        return provider.refusal(view)
    return UpstreamFailed("The provider ended the task.", "上游终止了任务。", kind="task_ended")
