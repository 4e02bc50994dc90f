"""DashScopeFake: Alibaba's DashScope (Bailian), native API, for the official SDK and plain HTTP clients.

Behaviours by model name: see `vendor.py`. Here besides:

    reasoning, qwq…  thinking first (also with `enable_thinking`)  parallel-tools   two calls
    sse-error        HTTP 200 and one `event:error` frame        sse-400          HTTP 400, SSE text labelled JSON
    openai-error     404 {"error": {...}} on the native path     arrears          400 Arrearage
    null-usage       frames with `usage: null` and `choices: []` before the text (also empty-choices)
    gzip             the stream is gzipped where the client accepts it
    old-usage        no total_tokens                              stream-only      400 unless streamed

Streams repeat the whole text in every frame unless `incremental_output` is true. The 401 for
a missing key carries no Content-Type, as recorded at the vendor. Later tool deltas have `id: ""` and no
name; a forced `tool_choice` ends with `stop` all the same. It refuses what DashScope refuses (see
`_wrong_parameter` and `_wrong_message`).

Multimodal endpoint, by the model's name: `…tts…` speaks, `…asr…` transcribes, `qwen-image…`, `wan2.6…`,
`wan2.7…`, `z-image…` paint at once, all others chat about pictures.
Tasks: a GET shows RUNNING first, then the result (`polls_pending` = 0, `polls_running` = 1 by default);
the words of `vendor.py` decide how it ends; an unknown id is UNKNOWN; cancel works before the first GET.
"""

import uuid
from typing import ClassVar

from tests.fakes import dashscope_chat, dashscope_media, dashscope_tasks
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.results import FILE_ROUTES
from tests.fakes.samples import VECTOR
from tests.fakes.sse import dashscope_frame
from tests.fakes.vendor import VendorError, VendorFake, behaviour_of

MODELS = ("qwen-plus", "qwen-vl-plus", "qwen-image-plus", "wan2.2-t2i-flash", "wan2.5-i2v-preview")
BAD_OUTPUT = VendorError(400, "DataInspectionFailed", "Output data may contain inappropriate content.")


def embed(fake: "DashScopeFake", request: RecordedRequest) -> Reply:
    """POST …/text-embedding: one vector for each text."""
    body = request.json
    texts = body["input"]["texts"]
    rows = [{"embedding": VECTOR, "text_index": index} for index in range(len(texts))]
    failed = fake.failure(behaviour_of(body["model"]))
    return failed or fake.answer_with({"embeddings": rows}, {"total_tokens": 3})


def list_models(fake: "DashScopeFake", request: RecordedRequest) -> Reply:
    rows = [{"model": name, "name": name} for name in MODELS]
    return fake.answer_with({"total": len(rows), "page_no": 1, "page_size": 20, "models": rows})


class DashScopeFake(VendorFake):
    """DashScope at `base_url` (it ends in /api/v1), good key `key`."""

    key = "sk-good"
    base_path = "/api/v1"
    comment = ":keepalive\n\n"
    routes: ClassVar = [
        *dashscope_chat.ROUTES,
        *dashscope_media.ROUTES,
        *dashscope_tasks.ROUTES,
        ("POST", "/api/v1/services/embeddings/text-embedding/text-embedding", embed),
        ("GET", "/api/v1/models", list_models),
        *FILE_ROUTES,
    ]
    status_errors: ClassVar = {
        400: VendorError(400, "InvalidParameter", "The request parameter is invalid."),
        401: VendorError(401, "InvalidApiKey", "Invalid API-key provided."),
        403: VendorError(403, "Model.AccessDenied", "Model access denied."),
        404: VendorError(404, "ModelNotFound", "Model can not be found."),
        408: VendorError(408, "RequestTimeOut", "Request timed out, please try again later."),
        429: VendorError(429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
        500: VendorError(500, "InternalError", "An internal error has occured, please try again later."),
        503: VendorError(503, "ModelUnavailable", "Model is unavailable, please try again later."),
        504: VendorError(504, "GatewayTimeout", "Gateway timed out."),
    }
    errors: ClassVar = {
        "missing": status_errors[404],
        "quota": VendorError(429, "Throttling.AllocationQuota", "Free allocated quota exceeded."),
        "overloaded": status_errors[503],
        "arrears": VendorError(400, "Arrearage", "Access denied, please make sure your account is in good standing."),
        "sensitive": VendorError(400, "DataInspectionFailed", "Input data may contain inappropriate content."),
        "needs-async": VendorError(403, "AccessDenied", "current user api does not support synchronous calls"),
        "needs-sync": VendorError(403, "AccessDenied", "current user api does not support asynchronous calls"),
        "no-cancel": VendorError(
            400, "UnsupportedOperation", "Failed to cancel the task, please confirm if the task is in PENDING status."
        ),
    }

    def _forget(self) -> None:
        super()._forget()
        self.tasks: dict[str, dashscope_tasks.Task] = {}
        self.polls_pending = 0
        self.polls_running = 1

    def error_body(self, error: VendorError) -> dict[str, object]:
        return {"code": error.code, "message": error.message, "request_id": str(uuid.uuid4())}

    def response_headers(self) -> dict[str, str | None]:
        return {"x-request-id": str(uuid.uuid4()), "req-cost-time": "120", "x-dashscope-call-gateway": "true"}

    def unauthorised(self, request: RecordedRequest) -> Reply | None:
        if request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        if request.headers.get("authorization"):
            return self.error(self.status_errors[401])
        reply = self.error(self.status_errors[401]._replace(message="No API-key provided."))
        reply.headers["content-type"] = None
        return reply

    def failure(self, behaviour: str) -> Reply | None:
        if behaviour == "sse-error":
            return self.reply(iter([self.error_frame(self.status_errors[400])]))
        if behaviour == "sse-400":
            text = self.error_frame(self.status_errors[400])
            return Reply(text, 400, {"content-type": "application/json"})
        if behaviour == "openai-error":
            words = {"message": "The model does not exist.", "type": "invalid_request_error", "code": "model_not_found"}
            return Reply({"error": words}, 404)
        return super().failure(behaviour)

    def error_frame(self, error: VendorError, number: int = 1) -> str:
        """The frame that reports an error within a stream."""
        return dashscope_frame(number, self.error_body(error), "error", error.status)

    def bad_output_frame(self) -> str:
        """The frame with which moderation ends a stream."""
        return self.error_frame(BAD_OUTPUT, number=2)

    def answer_with(self, output: object, usage: object = None, behaviour: str = "") -> Reply:
        """A whole answer: output, usage, request id."""
        body = {"output": output, **({"usage": usage} if usage else {}), "request_id": str(uuid.uuid4())}
        return self.reply(body, behaviour)
