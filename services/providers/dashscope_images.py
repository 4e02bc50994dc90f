"""DashScope's pictures: tasks of the wan models, and qwen-image and its like, which answer at once.

Source: help.aliyun.com/zh/model-studio, and recorded traffic. A failed task is a 200, and so is an unknown one.
"""

from typing import TYPE_CHECKING, Any

from services.contracts.images import ImageModel, ImageRequest, PaintedPictures, Picture, SourcePicture
from services.errors import Invalid, ServiceError, UpstreamFailed
from services.providers.base import Provider
from services.providers.failures import no_answer
from services.providers.media_results import as_data_url, fetch_picture, seed_for
from services.providers.polling import Task, follow
from services.providers.sizes import Size, asked_size, nearest, within_area, within_sides

if TYPE_CHECKING:
    from services.compute.progress import Job

TEXT_TO_IMAGE = "/services/aigc/text2image/image-synthesis"
IMAGE_TO_IMAGE = "/services/aigc/image2image/image-synthesis"
MULTIMODAL = "/services/aigc/multimodal-generation/generation"
ANSWERS_AT_ONCE = ("qwen-image", "wan2.6", "wan2.7", "z-image")
EDITS_AT_ONCE = ("qwen-image-edit", "qwen-image-2", "wan2.6-image", "wan2.7")
EDITS_AS_TASK = ("wan2.5-i2i", "wanx2.1-imageedit")
QWEN_SIZES: list[Size] = [(1664, 928), (1472, 1104), (1328, 1328), (1104, 1472), (928, 1664)]
AT_ONCE_AREAS = (512 * 512, 2048 * 2048)
WAN_SIDES = (512, 1440)
TASK_BATCH = 4
MOST_TASK_SECONDS = 600.0
ASYNC = {"X-DashScope-Async": "enable"}
NOT_TAKEN = {"num_inference_steps": None, "guidance_scale": None, "strength": None}


class DashScopePainter(ImageModel):
    """One picture model, by a task or at once."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("prompt"), model
        self._at_once = model.startswith(ANSWERS_AT_ONCE)

    def paint(self, request: ImageRequest, *, source: SourcePicture | None, job: "Job") -> PaintedPictures:
        self._check(source)
        seed, painted = job.once("seed", lambda: seed_for(request.seed)), list[Picture]()
        batch = 1 if self._at_once else TASK_BATCH
        for first in range(0, request.n, batch):
            job.progress(first / request.n, picture=first + 1)
            try:
                painted += self._paint(request, source, seed + first, min(batch, request.n - first), job)
            except (UpstreamFailed, Invalid):
                if not painted:  # What was made is paid for, and kept.
                    raise
                break
        return PaintedPictures(painted, dict(NOT_TAKEN), revision=self._model)

    def _check(self, source: SourcePicture | None) -> None:
        edits = self._model.startswith(EDITS_AT_ONCE + EDITS_AS_TASK)
        if source and not edits:
            raise wrong_model(self._model, "image-to-image", "qwen-image-edit-plus")
        if not source and ("edit" in self._model or "-i2i" in self._model):
            raise wrong_model(self._model, "text-to-image", "qwen-image-plus")

    def _paint(
        self, request: ImageRequest, source: SourcePicture | None, seed: int, n: int, job: "Job"
    ) -> list[Picture]:
        parameters: dict[str, Any] = {"n": n, "seed": seed, "watermark": False}
        if size := asked_size(request.width, request.height):
            parameters["size"] = "*".join(str(side) for side in self._size(size))
        if self._at_once:
            return self._paint_at_once(request, source, seed, parameters)
        return self._paint_as_task(request, source, seed, parameters, job)

    def _size(self, wanted: Size) -> Size:
        if self._model.startswith("qwen-image") and not self._model.startswith(EDITS_AT_ONCE):
            return nearest(wanted, QWEN_SIZES)
        return within_area(wanted, *AT_ONCE_AREAS) if self._at_once else within_sides(wanted, *WAN_SIDES)

    def _paint_at_once(
        self, request: ImageRequest, source: SourcePicture | None, seed: int, parameters: dict[str, Any]
    ) -> list[Picture]:
        content: list[dict[str, str]] = [{"image": as_data_url(source)}] if source else []
        content.append({"text": request.prompt})
        if request.negative_prompt:
            parameters["negative_prompt"] = request.negative_prompt
        body = {"input": {"messages": [{"role": "user", "content": content}]}, "parameters": parameters}
        answer = self._provider.post(MULTIMODAL, {"model": self._model, **body})
        choices = (answer.get("output") or {}).get("choices") or []
        parts = [part for choice in choices for part in (choice.get("message") or {}).get("content") or []]
        return self._fetch([{"url": part["image"]} for part in parts if part.get("image")], seed)

    def _paint_as_task(
        self, request: ImageRequest, source: SourcePicture | None, seed: int, parameters: dict[str, Any], job: "Job"
    ) -> list[Picture]:
        asked: dict[str, Any] = {"prompt": request.prompt}
        if request.negative_prompt:
            asked["negative_prompt"] = request.negative_prompt
        if source and self._model.startswith("wanx"):
            asked |= {"function": "description_edit", "base_image_url": as_data_url(source)}
        elif source:
            asked["images"] = [as_data_url(source)]
        path = IMAGE_TO_IMAGE if source else TEXT_TO_IMAGE
        body = {"model": self._model, "input": asked, "parameters": parameters}
        name = f"task {seed}"  # Each batch has seeds of its own.
        output = run_task(self._provider, path, body, job=job, most_seconds=MOST_TASK_SECONDS, name=name)
        return self._fetch(output.get("results") or [], seed)

    def _fetch(self, results: list[dict[str, Any]], seed: int) -> list[Picture]:
        """The pictures among *results*; raises what the first one says where there are none."""
        made, refused = list[Picture](), list[ServiceError]()
        for number, result in enumerate(results):
            if not result.get("url"):
                refused.append(self._provider.refusal(result))
                continue
            try:
                data = fetch_picture(result["url"], self._provider.outbound)
                made.append(Picture(data, seed + number, result.get("actual_prompt")))
            except UpstreamFailed as error:
                refused.append(error)
        if not made:
            raise refused[0] if refused else no_answer()
        return made


def run_task(
    provider: Provider, path: str, body: dict[str, Any], *, job: "Job", most_seconds: float, name: str = "task"
) -> dict[str, Any]:
    """The output of a task that succeeded; *job* remembers it as *name*. Raises what its failure means."""

    def start() -> str:
        number = (provider.post(path, body, **ASYNC).get("output") or {}).get("task_id")
        if not number:
            raise no_answer()
        return str(number)

    def result(output: dict[str, Any]) -> dict[str, Any]:
        if output.get("task_status") != "SUCCEEDED":
            raise _ended(output, provider)
        return output

    task = Task(
        start,
        ask=lambda number: provider.ask("GET", f"/tasks/{number}").get("output") or {},
        runs=lambda output: output.get("task_status") in {"PENDING", "RUNNING", "SUSPENDED"},
        result=result,
        give_up=lambda number: provider.ask("POST", f"/tasks/{number}/cancel"),
    )
    return follow(task, job=job, most_seconds=most_seconds, name=name)


def _ended(output: dict[str, Any], provider: Provider) -> ServiceError:
    if output.get("code"):
        return provider.refusal(output)
    return UpstreamFailed("The provider ended the task.", "上游终止了任务。", kind="task_ended")


def wrong_model(model: str, ability: str, better: str) -> Invalid:
    """A model that does something else than what it is asked for."""
    return Invalid(
        "model_id",
        "Model {model} is not for {ability}; choose another, for example {better}.",
        "模型 {model} 不支持 {ability}，请选择其他模型，例如 {better}。",
        reason="wrong_model",
        model=model,
        ability=ability,
        better=better,
    )
