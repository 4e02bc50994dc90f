"""ArkFake: Volcengine Ark (Doubao), for the official SDK and OpenAI-like clients.

Behaviours by model name: see `vendor.py`. Here besides:

    reasoning        `reasoning_content` first (also with `thinking: {"type": "enabled"}`)
    parallel-tools   two whole calls in one chunk              overloaded       429 ServerOverloaded
    empty-choices    chunks with `choices: []` in between
    moderated        `moderation_hit_type` beside finish_reason content_filter

Its shape differs from OpenAI's: the role in every delta, no `finish_reason` key before the last
chunk, a tool call whole in the chunk that also ends the answer. Explicit nulls count as absent.
Film tasks: each GET shows the next of queued, running, succeeded (`polls_queued`, `polls_running`).
"""

from typing import ClassVar

from tests.fakes import ark_chat, ark_media
from tests.fakes.ark_chat import REQUEST_ID
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED
from tests.fakes.results import FILE_ROUTES
from tests.fakes.vendor import VendorError, VendorFake

MODELS = ("doubao-seed-1-6-251015", "doubao-seedream-4-0-250828", "doubao-seedance-1-0-pro-250528")


def list_models(fake: "ArkFake", request: RecordedRequest) -> Reply:
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "ark"} for name in MODELS]
    return fake.reply({"object": "list", "data": rows})


class ArkFake(VendorFake):
    """Ark at `base_url` (it ends in /api/v3), good key `key`."""

    key = "ark-good"
    base_path = "/api/v3"
    routes: ClassVar = [*ark_chat.ROUTES, *ark_media.ROUTES, ("GET", "/api/v3/models", list_models), *FILE_ROUTES]
    status_errors: ClassVar = {
        400: VendorError(400, "InvalidParameter", "A parameter specified in the request is not valid.", "BadRequest"),
        401: VendorError(401, "AuthenticationError", "The API key format is incorrect.", "Unauthorized"),
        403: VendorError(403, "AccessDenied", "You have no permission to access this resource.", "Forbidden"),
        404: VendorError(404, "InvalidEndpointOrModel.NotFound", "The model or endpoint does not exist.", "NotFound"),
        429: VendorError(
            429, "ModelAccountRpmRateLimitExceeded", "Requests Per Minute limit exceeded.", "TooManyRequests"
        ),
        500: VendorError(
            500, "InternalServiceError", "The service encountered an unexpected internal error.", "InternalServerError"
        ),
    }
    errors: ClassVar = {
        "missing": status_errors[404],
        "quota": VendorError(429, "QuotaExceeded", "Free quota exhausted.", "TooManyRequests"),
        "overloaded": VendorError(429, "ServerOverloaded", "The service is currently overloaded.", "TooManyRequests"),
        "overdue": VendorError(403, "AccountOverdueError", "Your account has an overdue balance.", "Forbidden"),
        "sensitive": VendorError(
            400, "SensitiveContentDetected", "The input text may contain sensitive information.", "BadRequest"
        ),
        "sensitive-prompt": VendorError(
            400, "InputTextSensitiveContentDetected", "The input text may contain sensitive information.", "BadRequest"
        ),
        "no-task": VendorError(404, "NotFound.Task", "The specified task is not found.", "NotFound"),
        "running-task": VendorError(409, "InvalidAction.RunningTaskDeletion", "The task is running.", "Conflict"),
    }

    def _forget(self) -> None:
        super()._forget()
        self.tasks: dict[str, ark_media.FilmTask] = {}
        self.polls_queued = 1
        self.polls_running = 1

    def error_body(self, error: VendorError) -> dict[str, object]:
        message = f"{error.message} Request id: {REQUEST_ID}"
        return {"error": {"code": error.code, "message": message, "param": error.param or "", "type": error.type}}

    def response_headers(self) -> dict[str, str | None]:
        sent = self.requests[-1].headers if self.requests else {}
        return {"x-request-id": REQUEST_ID, "x-client-request-id": sent.get("x-client-request-id")}
