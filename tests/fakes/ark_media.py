"""Ark's images (seedream) and film tasks (seedance)."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED
from tests.fakes.results import size_of, words_of
from tests.fakes.sse import named_frame
from tests.fakes.vendor import behaviour_of

if TYPE_CHECKING:
    from tests.fakes.ark import ArkFake

TOKENS_EACH = 16384
ONE_FAILED = {
    "code": "OutputImageSensitiveContentDetected",
    "message": "The output image may contain sensitive information.",
}
RESOLUTIONS = (None, "480p", "720p", "1080p")


def generate_images(fake: "ArkFake", request: RecordedRequest) -> Reply:
    """POST /images/generations: text or `image` to pictures, as URLs or base64, streamed too."""
    body = request.json
    prompt, model = body.get("prompt") or "", body["model"]
    words = words_of(prompt, model)
    wrong = _wrong_image_field(body, prompt)
    if wrong:
        return fake.invalid(wrong, "size" if "size" in wrong else "prompt")
    if words & {"SENSITIVE", "FAIL"}:
        return fake.error(fake.errors["sensitive-prompt"])
    if "ERROR200" in words:
        return fake.failure("error-200") or Reply()
    failed = fake.failure(behaviour_of(model))
    if failed:
        return failed
    pictures = [_picture(fake, body, words, index) for index in range(_count(body))]
    if body.get("stream"):
        return fake.reply(_image_events(body, pictures), behaviour_of(model))
    return fake.reply(
        {"model": model, "created": CREATED, "data": pictures, "usage": _usage(pictures)}, behaviour_of(model)
    )


def _wrong_image_field(body: dict[str, Any], prompt: str) -> str | None:
    if not prompt:
        return "The parameter `prompt` is missing."
    width, height = size_of(body.get("size"), default=0)
    if body.get("size") and not width:
        return f"The parameter `size` specified in the request is not valid: {body['size']}."
    if "seedream-4-5" in body["model"] and 0 < width * height < 3_686_400:
        return "The parameter `size` specified in the request is not valid: image size must be at least 3686400 pixels."
    return None


def _count(body: dict[str, Any]) -> int:
    if body.get("sequential_image_generation") != "auto":
        return 1
    return (body.get("sequential_image_generation_options") or {}).get("max_images") or 1


def _picture(fake: "ArkFake", body: dict[str, Any], words: set[str], index: int) -> dict[str, Any]:
    if "PARTFAIL" in words and index == 1:
        return {"error": ONE_FAILED}
    width, height = size_of(body.get("size"), default=2048)
    about = {"size": f"{width}x{height}"}
    if body.get("response_format") == "b64_json":
        data = fake.picture(body["prompt"], words, (width, height))
        return {"b64_json": base64.b64encode(data).decode(), **about}
    return {"url": fake.picture_url(body["prompt"], words, (width, height)), **about}


def _usage(pictures: list[dict[str, Any]]) -> dict[str, int]:
    made = sum("error" not in picture for picture in pictures)
    return {"generated_images": made, "output_tokens": TOKENS_EACH * made, "total_tokens": TOKENS_EACH * made}


def _image_events(body: dict[str, Any], pictures: list[dict[str, Any]]) -> Iterator[Piece]:
    about = {"model": body["model"], "created": CREATED}
    for index, picture in enumerate(pictures):
        kind = "partial_failed" if "error" in picture else "partial_succeeded"
        yield named_frame({"type": f"image_generation.{kind}", **about, "image_index": index, **picture})
    usage = _usage(pictures)
    yield named_frame({"type": "image_generation.completed", **about, "created_at": CREATED, "usage": usage})
    yield "data: [DONE]\n\n"


@dataclass
class FilmTask:
    """A film in the making; what it shows depends on how often it was asked."""

    id: str
    body: dict[str, Any]
    polls: int = 0
    cancelled: bool = False

    @property
    def prompt(self) -> str:
        return " ".join(part.get("text") or "" for part in self.body["content"])

    @property
    def words(self) -> set[str]:
        return words_of(self.prompt, self.body["model"])

    def status(self, fake: "ArkFake") -> str:
        if self.cancelled:
            return "cancelled"
        if self.polls < fake.polls_queued:
            return "queued"
        if self.polls < fake.polls_queued + fake.polls_running or "NEVER" in self.words:
            return "running"
        return "failed" if "FAIL" in self.words else "succeeded"


def create_film(fake: "ArkFake", request: RecordedRequest) -> Reply:
    """POST /contents/generations/tasks."""
    body = request.json
    if not body.get("content"):
        return fake.invalid("The parameter `content` is missing.", "content")
    if body.get("resolution") not in RESOLUTIONS:
        return fake.invalid(f"The parameter `resolution` is not valid: {body['resolution']}.", "resolution")
    failed = fake.failure(behaviour_of(body["model"]))
    if failed:
        return failed
    task = FilmTask(f"cgt-20261121{len(fake.tasks):06d}-abcde", body)
    if "SENSITIVE" in task.words:
        return fake.error(fake.errors["sensitive-prompt"])
    if "ERROR200" in task.words:
        return fake.failure("error-200") or Reply()
    fake.tasks[task.id] = task
    return fake.reply({"id": task.id})


def _view(fake: "ArkFake", task: FilmTask) -> dict[str, Any]:
    status = task.status(fake)
    view = {
        "id": task.id,
        "model": task.body["model"],
        "status": status,
        "created_at": CREATED,
        "updated_at": CREATED + task.polls,
        "service_tier": "default",
        "execution_expires_after": 172800,
    }
    if status == "failed":
        view["error"] = {
            "code": "OutputVideoSensitiveContentDetected",
            "message": "The output video may contain sensitive information.",
        }
    if status == "succeeded":
        view |= _film(fake, task.body, task.words)
    return view


def _film(fake: "ArkFake", body: dict[str, Any], words: set[str]) -> dict[str, Any]:
    return {
        "content": {"video_url": fake.film_url(words)},
        "usage": {"completion_tokens": 108900, "total_tokens": 108900},
        "seed": body.get("seed") or 1,
        "resolution": body.get("resolution") or "720p",
        "ratio": body.get("ratio") or "16:9",
        "duration": body.get("duration") or 5,
        "framespersecond": 24,
    }


def get_film(fake: "ArkFake", request: RecordedRequest, name: str) -> Reply:
    """GET /contents/generations/tasks/{id}; each one moves the task on."""
    task = fake.tasks.get(name)
    if task is None:
        return fake.error(fake.errors["no-task"])
    view = _view(fake, task)
    task.polls += 1
    return fake.reply(view)


def list_films(fake: "ArkFake", request: RecordedRequest) -> Reply:
    """GET /contents/generations/tasks with the dotted filters."""
    ids, statuses = request.query.get("filter.task_ids"), request.query.get("filter.status")
    views = [_view(fake, task) for task in fake.tasks.values() if ids is None or task.id in ids]
    items = [view for view in views if statuses is None or view["status"] in statuses]
    return fake.reply({"total": len(items), "items": items})


def delete_film(fake: "ArkFake", request: RecordedRequest, name: str) -> Reply:
    """DELETE: cancels a queued task, forgets an ended one, refuses a running one."""
    task = fake.tasks.get(name)
    if task is None:
        return fake.error(fake.errors["no-task"])
    status = _shown(fake, task)
    if status in ("running", "cancelled"):
        return fake.error(fake.errors["running-task"])
    if status == "queued":
        task.cancelled = True
    else:
        del fake.tasks[name]
    return fake.reply({})


def _shown(fake: "ArkFake", task: FilmTask) -> str:
    """The status that the last GET showed."""
    asked = FilmTask(task.id, task.body, max(task.polls - 1, 0), task.cancelled)
    return asked.status(fake)


ROUTES = [
    ("POST", "/api/v3/images/generations", generate_images),
    ("POST", "/api/v3/contents/generations/tasks", create_film),
    ("GET", "/api/v3/contents/generations/tasks/?", list_films),
    ("GET", "/api/v3/contents/generations/tasks/([^/]+)", get_film),
    ("DELETE", "/api/v3/contents/generations/tasks/([^/]+)", delete_film),
]
