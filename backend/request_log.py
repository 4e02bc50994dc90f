"""A log line a request, and its count and time for Prometheus."""

import logging
import time
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, g, has_request_context, request

from services import metrics

METHODS: Iterable[str] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

requests_log = logging.getLogger("polymath.requests")


def current_request_id() -> str | None:
    """The id of the request that this thread answers; None between requests."""
    return g.get("request_id", "") if has_request_context() else None


def log_requests(app: Flask) -> None:
    """One line a request, written when its answer was sent: id, user, route, status, milliseconds.

    Nobody waits for the line; a file's answer is the server's, which does not tell when it is sent.
    """

    @app.before_request
    def start_clock() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def write_line(response: Response) -> Response:
        if "started" not in g:
            return response
        started, line = g.started, describe_request(response)
        answered = time.perf_counter() - started
        if response.direct_passthrough:
            _note(line, started, answered)
        else:
            response.call_on_close(lambda: _note(line, started, answered))
        return response


def describe_request(response: Response) -> dict[str, Any]:
    """What a log line says of this request; the route is its pattern, so that names of things stay out."""
    identity = g.get("identity")
    return {
        "request_id": g.get("request_id", ""),
        "user": identity.username if identity else "",
        "method": request.method if request.method in METHODS else "OTHER",
        "route": request.url_rule.rule if request.url_rule else "(none)",
        "status": response.status_code,
    }


def _note(line: dict[str, Any], started: float, answered_seconds: float) -> None:
    """Count the request, which began its answer after *answered_seconds*, and write its line."""
    metrics.REQUESTS.labels(line["method"], line["route"], str(line["status"])).inc()
    metrics.LATENCY.labels(line["route"]).observe(answered_seconds)
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    requests_log.info("request", extra={**line, "ms": milliseconds})
