"""How `/v1` tells what every route tells: OpenAI's codes and headers, and Anthropic's errors under `/v1/messages`.

Source: openai/openai-openapi, August 2026, and its Python package 3.52; Anthropic's error pages, 2026.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import has_request_context, request

# OpenAI's codes by our reasons, and for those without one by our code; for what it has no code ours is written small.
CODES_OF_REASONS = {
    "model_not_found": "model_not_found",
    "model_not_installed": "model_not_installed",
    "no_model": "model_not_installed",
    "model_loading": "model_loading",
    "required": "missing_required_parameter",
    "unsupported": "unsupported_parameter",
    "unknown_value": "unsupported_value",
    "content_filter": "content_policy_violation",
    "context_length": "context_length_exceeded",
    "quota": "insufficient_quota",
    "json_invalid": "invalid_json",
}
CODES = {
    "UNAUTHORIZED": "invalid_api_key",
    "VALIDATION_ERROR": "invalid_value",
    "TOO_MANY_REQUESTS": "rate_limit_exceeded",
    "INTERNAL_ERROR": "server_error",
}
# What a person has to mend first; whoever tries again at once hears the same.
NOT_MENDED_BY_WAITING = {
    "model_not_installed",
    "model_unusable",
    "no_model",
    "no_api_key",
    "no_base_url",
    "quota",
    "auth",
    "canceled",
}
MENDED_BY_WAITING = {"in_progress", "being_pulled"}
# A person runs a command meanwhile; a client that asks again sooner asks in vain.
INSTALLING_SECONDS = "60"
ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


def is_openai() -> bool:
    """Whether this request came to OpenAI's surface, Anthropic's part of it included."""
    return has_request_context() and request.path.startswith("/v1/")


def is_anthropic() -> bool:
    """Whether this request came to the routes that Anthropic's package calls."""
    return has_request_context() and (request.path + "/").startswith("/v1/messages/")


def code_of(code: str, details: dict[str, Any]) -> str:
    """OpenAI's code for an error of ours; *details* may bring one."""
    if details.get("code"):
        return str(details["code"])
    known = CODES_OF_REASONS.get(str(details.get("reason")))
    if known is None and code == "INVALID_REQUEST" and details.get("field"):
        return "invalid_value"
    return known or CODES.get(code, code.lower())


def anthropic_body(status: int, message: str, details: dict[str, Any], request_id: str) -> dict[str, Any]:
    """An error as Anthropic's package reads it; `details` stand beside, for who has a use for them."""
    kind = ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    # A 503 that waiting mends is what Anthropic calls overloaded; the package tells the two apart by their status.
    if status == 503 and details.get("reason") not in NOT_MENDED_BY_WAITING:
        kind = "overloaded_error"
    return {
        "type": "error",
        "error": {"type": kind, "message": message, "details": details},
        "request_id": request_id,
    }


def error_headers(status: int, details: dict[str, Any]) -> dict[str, str]:
    """What tells both packages whether to try again by themselves; nothing outside `/v1`."""
    if not is_openai():
        return {}
    reason = details.get("reason")
    headers = {}
    if reason in NOT_MENDED_BY_WAITING or (status == 409 and reason not in MENDED_BY_WAITING):
        headers["x-should-retry"] = "false"
    if reason in {"model_not_installed", "no_model"}:
        headers["Retry-After"] = INSTALLING_SECONDS
    return headers


def limit_headers(amount: int, remaining: int, reset_seconds: int) -> dict[str, str]:
    """A rate limit in OpenAI's words, or in Anthropic's; nothing outside `/v1`."""
    if not is_openai():
        return {}
    if is_anthropic():
        over = datetime.now(UTC) + timedelta(seconds=reset_seconds)
        return {
            "anthropic-ratelimit-requests-limit": str(amount),
            "anthropic-ratelimit-requests-remaining": str(remaining),
            "anthropic-ratelimit-requests-reset": over.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    return {
        "x-ratelimit-limit-requests": str(amount),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": duration(reset_seconds),
    }


def duration(seconds: int) -> str:
    """*seconds* as Go writes it, and so OpenAI: `59s`, `6m0s`, `1h0m0s`."""
    minutes, left = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{left}s"
