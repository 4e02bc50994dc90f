"""The one table from errors to statuses and the one error body.

It stands here and not in `backend`, because an error in the middle of a stream is a frame with the same
body, and streams are written by blueprints.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from flask import current_app, g, has_request_context, request

from blueprints.kit import dialects
from services import errors


class Status(NamedTuple):
    """How an error is told: HTTP status, contract code, and OpenAI's type."""

    status: int
    code: str
    type: str


INVALID_REQUEST = Status(400, "INVALID_REQUEST", "invalid_request_error")
INTERNAL_ERROR = Status(500, "INTERNAL_ERROR", "server_error")
# Nobody reads this answer; logs and metrics do. nginx has the number for a client that closed its request.
CLIENT_LEFT = Status(499, "CLIENT_CLOSED_REQUEST", "invalid_request_error")

# Looked up along an error's classes, nearest first.
STATUSES: dict[type[BaseException], Status] = {
    errors.Malformed: INVALID_REQUEST,
    errors.Invalid: Status(422, "VALIDATION_ERROR", "invalid_request_error"),
    errors.Unauthenticated: Status(401, "UNAUTHORIZED", "authentication_error"),
    errors.Denied: Status(403, "FORBIDDEN", "permission_error"),
    errors.NotFound: Status(404, "NOT_FOUND", "not_found_error"),
    errors.Conflict: Status(409, "CONFLICT", "invalid_request_error"),
    errors.TooLarge: Status(413, "PAYLOAD_TOO_LARGE", "invalid_request_error"),
    errors.UnsupportedMedia: Status(415, "UNSUPPORTED_MEDIA_TYPE", "invalid_request_error"),
    errors.TooMany: Status(429, "TOO_MANY_REQUESTS", "rate_limit_error"),
    errors.UpstreamFailed: Status(502, "UPSTREAM_ERROR", "server_error"),
    errors.UpstreamTimeout: Status(504, "UPSTREAM_TIMEOUT", "server_error"),
    errors.Unavailable: Status(503, "SERVICE_UNAVAILABLE", "server_error"),
    errors.Cancelled: Status(503, "SERVICE_UNAVAILABLE", "server_error"),
    # What is none of these is a fault of ours, as with a job that failed by an error that nobody foresaw.
    errors.ServiceError: INTERNAL_ERROR,
}
BY_HTTP_STATUS = {row.status: row for row in STATUSES.values()} | {
    400: INVALID_REQUEST,
    405: Status(405, "METHOD_NOT_ALLOWED", "invalid_request_error"),
    500: INTERNAL_ERROR,
}


def status_of(error: errors.ServiceError) -> Status:
    """The row for *error*; a wrong field is 400 where the documents say so."""
    row = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if isinstance(error, errors.Invalid) and wrong_field_is_400():
        return INVALID_REQUEST
    if isinstance(error, errors.Cancelled) and error.reason == "client_left":
        return CLIENT_LEFT
    return row


def wrong_field_is_400() -> bool:
    """Whether a wrong field is 400 on this route: under `/api/v1` and `/v1`, and for system 4's chat."""
    return request.path.startswith(("/api/v1/", "/v1/", "/api/chat/"))


def language() -> str:
    """`zh` or `en`, by `Accept-Language`, else the default language."""
    if not has_request_context():
        return "en"
    default = str(current_app.extensions["services"].settings.default_language)
    if not request.headers.get("Accept-Language"):
        return default
    best = request.accept_languages.best_match(["zh", "zh-CN", "zh-TW", "zh-HK", "en", "en-US", "en-GB"])
    return best[:2] if best else default


def say(en: str, zh: str) -> str:
    """One of two sentences, in the caller's language."""
    return zh if language() == "zh" else en


def now() -> str:
    """The time as answers show it: UTC without fractions."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def error_body(row: Status, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """The one error body; under `/v1` the code is OpenAI's, and `/v1/messages` has Anthropic's own body."""
    details = details or {}
    if dialects.is_anthropic():
        return dialects.anthropic_body(row.status, message, details, g.get("request_id", ""))
    code = dialects.code_of(row.code, details) if dialects.is_openai() else details.get("code") or row.code
    return {
        "detail": message,
        "error": {
            "code": code,
            "message": message,
            "details": details,
            "type": row.type,
            "param": details.get("field"),
        },
        "timestamp": now(),
        "request_id": g.get("request_id", ""),
    }


def describe(error: errors.ServiceError) -> dict[str, Any]:
    """The error body of *error*, in the caller's language."""
    return error_body(status_of(error), error.say(language()), error.details)
