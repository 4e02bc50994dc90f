"""Whether the service lives, what it can do, and what was used."""

import time
from typing import Any

from flask import Response, current_app, jsonify, request
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from services import VERSION, metrics
from services.contracts.usage import UsageQuery, UsageView
from services.domains import health, usage

bp = make_blueprint("system", about="Health, status, metrics and usage")
started = time.time()


class AliveView(BaseModel):
    status: str = Field(examples=["ok"])
    message: str
    version: str


class HealthView(AliveView):
    checks: dict[str, str] = Field(examples=[{"database": "ok", "job_runner": "ok", "disk": "ok"}])


@bp.get("/", security=[], responses={200: AliveView})
@mark(public=True, limit="none")
def index() -> Response:
    """Say that the service runs (system 1's health check); a browser gets the console."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        page: Response = current_app.extensions["console"]()
        return page
    response = jsonify({"status": "ok", "message": "Backend service is running", "version": VERSION})
    response.headers["Vary"] = "Accept"
    return response


@bp.get("/healthz", security=[], responses={200: AliveView})
@mark(public=True, limit="none")
def alive() -> dict[str, Any]:
    """Say only that the process lives."""
    return {"status": "ok", "message": "Backend service is running", "version": VERSION}


@bp.get("/health", security=[], responses={200: HealthView, 503: HealthView})
@mark(public=True, limit="none")
def check() -> tuple[dict[str, Any], int]:
    """Check the database, the job runner and the disk; 503 when one fails."""
    checks = health.check(services=services())
    well = all(state == "ok" for state in checks.values())
    message = "Backend service is running" if well else "Backend service is impaired"
    body = {"status": "ok" if well else "error", "message": message, "version": VERSION, "checks": checks}
    return body, 200 if well else 503


class StatusView(BaseModel):
    """What the service can do now."""

    status: str = Field(examples=["ok"])
    version: str
    uptime_seconds: int
    providers: list[str] = Field(description="Those that have a key, the operator's or one's own")
    jobs: dict[str, int] = Field(examples=[{"completed": 7, "running": 1}])
    device: dict[str, Any] = Field(examples=[{"engine": "ready", "kind": "cpu", "models": []}])
    disk: dict[str, int] = Field(examples=[{"free_mb": 67608, "total_mb": 102400}])


@bp.get("/api/status", responses={200: StatusView})
@mark(limit="status")
def status() -> dict[str, Any]:
    """Tell version, uptime, providers with a key, jobs, device and disk (system 2)."""
    return {
        "status": "ok",
        "version": VERSION,
        "uptime_seconds": round(time.time() - started),
        **health.describe(services=services(), owner=me().id),
    }


@bp.get("/metrics", responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}})
@mark(limit="status")
def read_metrics() -> Response:
    """The metrics of all workers, in Prometheus' text format."""
    return Response(metrics.render(), mimetype="text/plain; version=0.0.4; charset=utf-8")


@bp.get("/api/usage", responses={200: UsageView})
@mark(limit="default", account=True)
def read_usage(query: UsageQuery) -> dict[str, Any]:
    """Sum up what was used, by model, day or user; an admin sees everybody's."""
    return usage.summarize(query, services=services(), identity=me()).model_dump(mode="json")
