"""OpenAIFake: OpenAI's API, for the official SDK and for every OpenAI-like provider.

Behaviours by model name: see `vendor.py`. Here besides:

    reasoning        `reasoning_content` before the text      parallel-tools   two calls
    empty-choices    chunks with `choices: []` in between (non-stream: no choice at all)
    null-finish      finish_reason is the string "null" until the last chunk
    repeated-id      tool deltas repeat `id: ""` (DashScope's compatible mode)
    usage-each       usage on every chunk                      event-names      an `event:` line on each frame
    flat-error       400 with {"code", "message"} alone        string-error     400 with {"error": "text"}
    bad-param        400 that names a parameter                minimal          the fewest fields
    floats-anyway    embeddings as numbers though base64 was asked
"""

from typing import ClassVar

from tests.fakes import openai_audio, openai_chat, openai_files, openai_images
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED
from tests.fakes.results import FILE_ROUTES
from tests.fakes.vendor import VendorError, VendorFake

MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-image-2", "text-embedding-3-small", "whisper-1", "tts-1")
NO_MONEY = "You exceeded your current quota, please check your plan and billing details."


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def list_models(fake: "OpenAIFake", request: RecordedRequest) -> Reply:
    return fake.reply({"object": "list", "data": [_model(name) for name in MODELS]})


def get_model(fake: "OpenAIFake", request: RecordedRequest, name: str) -> Reply:
    return fake.failure(name) or fake.reply(_model(name))


def delete_model(fake: "OpenAIFake", request: RecordedRequest, name: str) -> Reply:
    return fake.reply({"id": name, "object": "model", "deleted": True})


class OpenAIFake(VendorFake):
    """OpenAI at `base_url` (it ends in /v1), good key `key`."""

    key = "sk-good"
    base_path = "/v1"
    routes: ClassVar = [
        *openai_chat.ROUTES,
        *openai_images.ROUTES,
        *openai_audio.ROUTES,
        *openai_files.ROUTES,
        ("GET", "/v1/models", list_models),
        ("GET", "/v1/models/(.+)", get_model),
        ("DELETE", "/v1/models/(.+)", delete_model),
        *FILE_ROUTES,
    ]
    status_errors: ClassVar = {
        400: VendorError(400, "invalid_value", "Invalid value.", "invalid_request_error"),
        401: VendorError(401, "invalid_api_key", "Incorrect API key provided: sk-***.", "invalid_request_error"),
        403: VendorError(
            403, "model_not_available", "Project does not have access to this model.", "invalid_request_error"
        ),
        404: VendorError(
            404, "model_not_found", "The model does not exist or you do not have access to it.", "invalid_request_error"
        ),
        429: VendorError(429, "rate_limit_exceeded", "Rate limit reached for requests.", "requests"),
        500: VendorError(500, "", "The server had an error while processing your request.", "server_error"),
        503: VendorError(503, "", "The engine is currently overloaded, please try again later.", "server_error"),
    }
    errors: ClassVar = {
        "missing": status_errors[404],
        "overloaded": status_errors[503],
        "sensitive": VendorError(
            400, "content_policy_violation", "Your request was rejected by our safety system.", "invalid_request_error"
        ),
        "bad-param": VendorError(
            400, "decimal_above_max_value", "Invalid 'temperature'.", "invalid_request_error", "temperature"
        ),
    }

    def error_body(self, error: VendorError) -> dict[str, object]:
        words = {"message": error.message, "type": error.type, "param": error.param, "code": error.code or None}
        return {"error": words}

    def failure(self, behaviour: str) -> Reply | None:
        if behaviour == "quota":
            error = VendorError(429, "insufficient_quota", NO_MONEY, "insufficient_quota")
            return self.error(error, x_should_retry="false")
        if behaviour == "flat-error":
            return Reply({"code": "InvalidParameter", "message": "flat", "request_id": "r"}, 400)
        if behaviour == "string-error":
            return Reply({"error": "plain words"}, 400)
        return super().failure(behaviour)

    def response_headers(self) -> dict[str, str | None]:
        return {
            "x-request-id": f"req_{len(self.requests)}",
            "openai-processing-ms": "12",
            "openai-version": "2020-10-01",
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-remaining-requests": "499",
            "x-ratelimit-reset-requests": "120ms",
        }
