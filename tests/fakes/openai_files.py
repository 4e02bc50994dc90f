"""OpenAI's files and fine-tuning jobs: fixed objects, paged as the SDK pages them."""

from typing import Any

from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED
from tests.fakes.vendor import VendorFake

AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
STATUS_AFTER = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}


def _file(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "bytes": 10,
        "created_at": CREATED,
        "filename": "a.jsonl",
        "purpose": "fine-tune",
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


def _page(rows: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    return {"object": "list", "data": rows, "has_more": more, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}


def upload_file(fake: VendorFake, request: RecordedRequest) -> Reply:
    return fake.reply(_file("file-1"))


def list_files(fake: VendorFake, request: RecordedRequest) -> Reply:
    if request.query.get("after") == ["file-2"]:
        return fake.reply(_page([_file("file-3")], more=False))
    return fake.reply(_page([_file("file-1"), _file("file-2")], more=True))


def get_file(fake: VendorFake, request: RecordedRequest, name: str) -> Reply:
    return fake.reply(_file(name))


def get_file_content(fake: VendorFake, request: RecordedRequest, name: str) -> Reply:
    return Reply(b"{}\n{}\n", 200, {"content-type": "application/octet-stream"})


def delete_file(fake: VendorFake, request: RecordedRequest, name: str) -> Reply:
    return fake.reply({"id": name, "object": "file", "deleted": True})


def _job(name: str, status: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "fine_tuning.job",
        "model": "gpt-4o-mini",
        "created_at": CREATED,
        "finished_at": None,
        "fine_tuned_model": None,
        "organization_id": "org-x",
        "result_files": [],
        "status": status,
        "validation_file": None,
        "training_file": "file-1",
        "hyperparameters": AUTO,
        "trained_tokens": None,
        "error": {},
        "seed": 42,
        "estimated_finish": None,
        "integrations": [],
        "metadata": None,
        "method": {"type": "supervised", "supervised": {"hyperparameters": AUTO}},
    }


def create_job(fake: VendorFake, request: RecordedRequest) -> Reply:
    return fake.reply(_job("ftjob-1", "queued"))


def list_jobs(fake: VendorFake, request: RecordedRequest) -> Reply:
    return fake.reply(_page([_job("ftjob-1", "queued"), _job("ftjob-2", "succeeded")], more=False))


def get_job(fake: VendorFake, request: RecordedRequest, name: str) -> Reply:
    return fake.reply(_job(name, "running"))


def steer_job(fake: VendorFake, request: RecordedRequest, name: str, action: str) -> Reply:
    return fake.reply(_job(name, STATUS_AFTER[action]))


def _event(number: int) -> dict[str, Any]:
    return {
        "id": f"ftevent-{number}",
        "object": "fine_tuning.job.event",
        "created_at": CREATED,
        "level": "info",
        "message": f"Step {number}",
        "type": "metrics",
        "data": {"step": number, "train_loss": 0.5},
    }


def list_events(fake: VendorFake, request: RecordedRequest, name: str) -> Reply:
    if request.query.get("after") == ["ftevent-2"]:
        return fake.reply(_page([_event(1)], more=False))
    return fake.reply(_page([_event(3), _event(2)], more=True))


def list_checkpoints(fake: VendorFake, request: RecordedRequest, name: str) -> Reply:
    checkpoint = {
        "id": "ftckpt-1",
        "object": "fine_tuning.job.checkpoint",
        "created_at": CREATED,
        "fine_tuned_model_checkpoint": "ft:gpt-4o-mini:org::x:ckpt-step-10",
        "fine_tuning_job_id": name,
        "step_number": 10,
        "metrics": {"step": 10, "train_loss": 0.4, "valid_loss": 0.5},
    }
    return fake.reply(_page([checkpoint], more=False))


ROUTES = [
    ("POST", "/v1/files", upload_file),
    ("GET", "/v1/files", list_files),
    ("GET", "/v1/files/([^/]+)", get_file),
    ("GET", "/v1/files/([^/]+)/content", get_file_content),
    ("DELETE", "/v1/files/([^/]+)", delete_file),
    ("POST", "/v1/fine_tuning/jobs", create_job),
    ("GET", "/v1/fine_tuning/jobs", list_jobs),
    ("GET", "/v1/fine_tuning/jobs/([^/]+)", get_job),
    ("POST", "/v1/fine_tuning/jobs/([^/]+)/(cancel|pause|resume)", steer_job),
    ("GET", "/v1/fine_tuning/jobs/([^/]+)/events", list_events),
    ("GET", "/v1/fine_tuning/jobs/([^/]+)/checkpoints", list_checkpoints),
]
