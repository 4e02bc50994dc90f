"""The models that chat (system 4), and pulling one."""

from typing import Any

from flask import g, request
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from services.contracts.models import CatalogView, ChatModelsView, PullRequest
from services.domains import models

bp = make_blueprint("models", url_prefix="/api/models", about="Which models there are")
LOOK_AGAIN_SECONDS = "2"


class PullStartedView(BaseModel):
    """The job that pulls a model; its progress stands where `Location` points."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["queued"])
    model: str = Field(examples=["whisper-base"])


@bp.get("", responses={200: ChatModelsView})
@mark(limit="status")
def list_() -> dict[str, Any]:
    """List the models that chat, installed or not."""
    return models.list_chat(services=services(), owner=me().id).model_dump()


@bp.get("/catalog", responses={200: CatalogView})
@mark(limit="status")
def list_catalog() -> dict[str, Any]:
    """List every model with what it can do, installed or not; those that run here come first."""
    return models.list_all(services=services()).model_dump()


@bp.post("/pull", responses={202: PullStartedView})
@mark(account=True, admin=True, limit="default")
def pull(body: PullRequest) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Start to install a model (administrators); the answer points to the job that does it."""
    row = models.find_to_pull(body.model, services=services())
    job = services().jobs.submit(
        "models.pull",
        PullRequest(model=row.id),
        owner=me().id,
        idempotency_key=request.headers.get("Idempotency-Key"),
        request_id=g.request_id,
    )
    headers = {"Location": f"/api/jobs/{job.id}", "Retry-After": LOOK_AGAIN_SECONDS}
    if job.replayed:
        headers["Idempotent-Replayed"] = "true"
    return {"task_id": job.id, "status": job.status, "model": row.id}, 202, headers
