"""AnthropicFake: Anthropic's Messages API, for the official SDK and plain HTTP clients.

Behaviours by model name: see `vendor.py`. Here besides:

    reasoning        a thinking block first (also with `thinking: {"type": "enabled" | "adaptive"}`)
    parallel-tools   two tool_use blocks                       overloaded       529
    no-name          an event without its `event:` line        new-event        an event nobody knows
    pings            pings between the deltas                  cached           part of the input came from the cache
    no-sampling      400 on temperature, top_p, top_k, as the newest models
    empty-choices    `content: []`

`limited-<s>`, `overloaded`: rate_limit_error 429, overloaded_error 529. It refuses what Anthropic refuses:
no version header, no max_tokens, system messages among the messages, a first turn that is not the
user's, empty text blocks, `data:` in a base64 source, temperature over 1 (any, from version 2026-10-21).
"""

from typing import ClassVar

from tests.fakes import anthropic_messages
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.results import FILE_ROUTES
from tests.fakes.vendor import VendorError, VendorFake

MODELS = {"claude-opus-5-5": "Claude Opus 5.5", "claude-sonnet-5-5": "Claude Sonnet 5.5"}


def list_models(fake: "AnthropicFake", request: RecordedRequest) -> Reply:
    rows = [
        {"type": "model", "id": name, "display_name": title, "created_at": "2026-01-01T00:00:00Z"}
        for name, title in MODELS.items()
    ]
    return fake.reply({"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]})


class AnthropicFake(VendorFake):
    """Anthropic at `base_url` (no path), good key `key`, as x-api-key or Bearer."""

    key = "sk-ant-good"
    base_path = ""
    routes: ClassVar = [*anthropic_messages.ROUTES, ("GET", "/v1/models", list_models), *FILE_ROUTES]
    status_errors: ClassVar = {
        400: VendorError(400, "invalid_request_error", "Invalid request."),
        401: VendorError(401, "authentication_error", "invalid x-api-key"),
        402: VendorError(402, "billing_error", "Your credit balance is too low to access the API."),
        403: VendorError(403, "permission_error", "Your API key does not have permission to use the resource."),
        404: VendorError(404, "not_found_error", "model: not found"),
        409: VendorError(409, "conflict_error", "Conflict."),
        413: VendorError(413, "request_too_large", "Request exceeds the maximum size."),
        429: VendorError(429, "rate_limit_error", "Number of requests has exceeded your per-minute rate limit"),
        500: VendorError(500, "api_error", "Internal server error"),
        504: VendorError(504, "timeout_error", "Request timed out"),
        529: VendorError(529, "overloaded_error", "Overloaded"),
    }
    errors: ClassVar = {
        "missing": status_errors[404],
        "quota": status_errors[402],
        "overloaded": status_errors[529],
        "sensitive": VendorError(400, "invalid_request_error", "Output blocked by content filtering policy"),
    }

    def error_body(self, error: VendorError) -> dict[str, object]:
        words = {"type": error.code, "message": error.message}
        return {"type": "error", "error": words, "request_id": f"req_{len(self.requests)}"}

    def unauthorised(self, request: RecordedRequest) -> Reply | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if request.headers.get("x-api-key", bearer) != self.key:
            return self.error(self.status_errors[401])
        if not request.headers.get("anthropic-version"):
            return self.invalid("anthropic-version: header is required")
        return None

    def response_headers(self) -> dict[str, str | None]:
        return {
            "request-id": f"req_{len(self.requests)}",
            "anthropic-organization-id": "org",
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-21T10:00:00Z",
        }
