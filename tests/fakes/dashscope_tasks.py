"""DashScope's tasks: pictures, films and transcriptions that are asked for and polled."""

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes import samples
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.dashscope_media import picture_prompt, pixels_of
from tests.fakes.results import words_of
from tests.fakes.vendor import behaviour_of

if TYPE_CHECKING:
    from tests.fakes.dashscope import DashScopeFake

SUBMITTED = {"submit_time": "2026-11-21 10:00:00.123", "scheduled_time": "2026-11-21 10:00:00.456"}
BAD_INPUT = {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."}
ONE_FAILED = {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}
KINDS = {
    "services/aigc/text2image/image-synthesis": "pictures",
    "services/aigc/image2image/image-synthesis": "pictures",
    "services/aigc/image-generation/generation": "picture_messages",
    "services/aigc/video-generation/video-synthesis": "film",
    "services/aigc/image2video/video-synthesis": "film",
    "services/audio/asr/transcription": "transcript",
}


@dataclass
class Task:
    """A task in the making; what it shows depends on how often it was asked."""

    id: str
    kind: str
    body: dict[str, Any]
    polls: int = 0
    cancelled: bool = False

    @property
    def prompt(self) -> str:
        if self.kind == "picture_messages":
            return picture_prompt(self.body)
        return self.body["input"].get("prompt") or ""

    @property
    def words(self) -> set[str]:
        return words_of(self.prompt, self.body["model"])

    @property
    def count(self) -> int:
        return (self.body.get("parameters") or {}).get("n") or 1

    def status(self, fake: "DashScopeFake") -> str:
        if self.cancelled:
            return "CANCELED"
        if self.polls <= fake.polls_pending:
            return "PENDING"
        if self.polls <= fake.polls_pending + fake.polls_running or "NEVER" in self.words:
            return "RUNNING"
        return "FAILED" if "FAIL" in self.words else "SUCCEEDED"


def create_task(fake: "DashScopeFake", request: RecordedRequest, path: str) -> Reply:
    """POST to a task endpoint; it must carry `X-DashScope-Async: enable`."""
    body = request.json
    if request.headers.get("x-dashscope-async") != "enable":
        return fake.error(fake.errors["needs-async"])
    failed = fake.failure(behaviour_of(body["model"]))
    if failed:
        return failed
    task = Task(str(uuid.uuid4()), KINDS[path], body)
    if "SENSITIVE" in task.words:
        return fake.error(fake.errors["sensitive"])
    if "ERROR200" in task.words:
        return fake.failure("error-200") or Reply()
    if task.kind != "transcript" and pixels_of(body) is None:
        return fake.invalid("size must be in the format of width*height")
    fake.tasks[task.id] = task
    return fake.answer_with({"task_status": "PENDING", "task_id": task.id})


def get_task(fake: "DashScopeFake", request: RecordedRequest, name: str) -> Reply:
    """GET /tasks/{id}; each one moves the task on."""
    task = fake.tasks.get(name)
    if task is None:
        return fake.answer_with({"task_id": name, "task_status": "UNKNOWN"})
    task.polls += 1
    status = task.status(fake)
    output: dict[str, Any] = {"task_id": name, "task_status": status, **SUBMITTED}
    if status in ("PENDING", "RUNNING"):
        output["task_metrics"] = {"TOTAL": task.count, "SUCCEEDED": 0, "FAILED": 0}
        return fake.answer_with(output)
    output["end_time"] = "2026-11-21 10:00:05.000"
    if status == "FAILED":
        return fake.answer_with({**output, **BAD_INPUT})
    if status == "CANCELED":
        return fake.answer_with(output)
    result, usage = RESULTS[task.kind](fake, task)
    return fake.answer_with({**output, **result}, usage)


def _pictures(fake: "DashScopeFake", task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    about = {"orig_prompt": task.prompt, "actual_prompt": f"{task.prompt}, in detail"}
    results = [{**about, "url": _picture_url(fake, task)} for _ in range(task.count)]
    failed = 0
    if "PARTFAIL" in task.words:
        results[-1], failed = dict(ONE_FAILED), 1
    metrics = {"TOTAL": task.count, "SUCCEEDED": task.count - failed, "FAILED": failed}
    return {"results": results, "task_metrics": metrics}, {"image_count": task.count - failed}


def _picture_url(fake: "DashScopeFake", task: Task) -> str:
    return fake.picture_url(task.prompt, task.words, pixels_of(task.body) or (1024, 1024))


def _picture_messages(fake: "DashScopeFake", task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    content = [{"image": _picture_url(fake, task), "type": "image"} for _ in range(task.count)]
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    width, height = pixels_of(task.body) or (1024, 1024)
    return {"finished": True, "choices": [choice]}, {"image_count": task.count, "size": f"{width}*{height}"}


def _film(fake: "DashScopeFake", task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    seconds = (task.body.get("parameters") or {}).get("duration") or 5
    usage = {"video_count": 1, "video_duration": seconds, "video_ratio": "1280*720"}
    return {"video_url": fake.film_url(task.words), "orig_prompt": task.prompt}, usage


def _transcript(fake: "DashScopeFake", task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    sentence = {"begin_time": 100, "end_time": 3820, "text": samples.TRANSCRIPT, "sentence_id": 1, "words": []}
    about = {"transcripts": [{"channel_id": 0, "text": samples.TRANSCRIPT, "sentences": [sentence]}]}
    results = []
    for url in task.body["input"]["file_urls"]:
        text = json.dumps({"file_url": url, **about}, ensure_ascii=False).encode()
        kept = fake.file_url(text, "json", "application/json")
        results.append({"file_url": url, "transcription_url": kept, "subtask_status": "SUCCEEDED"})
    metrics = {"TOTAL": len(results), "SUCCEEDED": len(results), "FAILED": 0}
    return {"results": results, "task_metrics": metrics}, {"duration": 4}


RESULTS = {"pictures": _pictures, "picture_messages": _picture_messages, "film": _film, "transcript": _transcript}


def cancel_task(fake: "DashScopeFake", request: RecordedRequest, name: str) -> Reply:
    """POST /tasks/{id}/cancel; only what is still pending can be cancelled."""
    task = fake.tasks.get(name)
    if task is None or task.cancelled or task.polls > fake.polls_pending:
        return fake.error(fake.errors["no-cancel"])
    task.cancelled = True
    return fake.reply({"request_id": str(uuid.uuid4())})


def list_tasks(fake: "DashScopeFake", request: RecordedRequest) -> Reply:
    """GET /tasks, all on one page."""
    rows = [_row(fake, task) for task in fake.tasks.values()]
    page = {"total": len(rows), "data": rows, "total_page": 1, "page_no": 1, "page_size": 10}
    return fake.reply({**page, "request_id": str(uuid.uuid4())})


def _row(fake: "DashScopeFake", task: Task) -> dict[str, Any]:
    return {
        "api_key_id": "1",
        "caller_parent_id": "1",
        "caller_uid": "1",
        "gmt_create": 1790000000000,
        "start_time": 1790000000100,
        "end_time": 1790000009000,
        "region": "cn-beijing",
        "request_id": str(uuid.uuid4()),
        "status": task.status(fake),
        "task_id": task.id,
        "user_api_unique_key": f"apikey:v1:aigc:{task.kind}:{task.body['model']}",
        "model_name": task.body["model"],
    }


ROUTES = [
    ("POST", f"/api/v1/({'|'.join(KINDS)})", create_task),
    ("GET", "/api/v1/tasks/?", list_tasks),
    ("GET", "/api/v1/tasks/([^/]+)", get_task),
    ("POST", "/api/v1/tasks/([^/]+)/cancel", cancel_task),
]
