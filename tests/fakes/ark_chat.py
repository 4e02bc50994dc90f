"""Ark's chat completions and embeddings: OpenAI's shape with Ark's differences."""

from collections.abc import Iterator
from typing import Any

from tests.fakes import samples
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED, call_object, offered_calls, wants_usage
from tests.fakes.sse import data_frame
from tests.fakes.vendor import VendorFake, behaviour_of

REQUEST_ID = "021790000000abcdef0123456789abcdef"
USAGE = {
    "completion_tokens": 9,
    "prompt_tokens": 8,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def complete_chat(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /chat/completions, whole or streamed."""
    body = request.json if isinstance(request.json, dict) else {}
    for name in ("model", "messages"):
        if not body.get(name):
            missing = fake.status_errors[400]._replace(code=f"MissingParameter.{name}", param=name)
            return fake.error(missing)
    if body.get("max_tokens") and body.get("max_completion_tokens"):
        return fake.invalid("max_tokens and max_completion_tokens exclude each other.", "max_tokens")
    behaviour = behaviour_of(body["model"])
    answer = _Answer(fake, body, behaviour)
    return fake.failure(behaviour) or fake.reply(answer.frames() if body.get("stream") else answer.whole(), behaviour)


class _Answer:
    """One answer, whole or as frames."""

    def __init__(self, fake: VendorFake, body: dict[str, Any], behaviour: str) -> None:
        self.fake, self.body, self.behaviour = fake, body, behaviour
        self.base = {"created": CREATED, "id": REQUEST_ID, "model": body["model"], "service_tier": "default"}
        self.calls = offered_calls(body, behaviour)
        self.thinks = behaviour == "reasoning" or (body.get("thinking") or {}).get("type") == "enabled"

    def ending(self) -> dict[str, str]:
        if self.behaviour == "moderated":
            return {"finish_reason": "content_filter", "moderation_hit_type": "severe_violation"}
        return {"finish_reason": self.fake.finish(self.behaviour, "tool_calls" if self.calls else "stop")}

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"content": self.fake.text(self.behaviour), "role": "assistant"}
        if self.thinks:
            message["reasoning_content"] = samples.REASONING
        if self.calls:
            message |= {"content": "", "tool_calls": [call_object(call) for call in self.calls]}
        choice = {**self.ending(), "index": 0, "logprobs": None, "message": message}
        choices = [] if self.behaviour == "empty-choices" else [choice]
        return {"choices": choices, **self.base, "object": "chat.completion", "usage": USAGE}

    def frames(self) -> Iterator[Piece]:
        if self.thinks:
            for text in samples.REASONING_PIECES:
                yield self.delta(reasoning_content=text)
        if self.behaviour == "empty-choices":
            yield self.chunk([])
        if self.calls:
            calls = [call_object(call, index=index) for index, call in enumerate(self.calls)]
            yield self.delta(ending=self.ending(), tool_calls=calls)
        else:
            yield from self.fake.deltas(self.behaviour, lambda text: self.delta(content=text), self.error_frame())
            if self.behaviour in ("mid-error", "no-finish"):
                return
            yield self.delta(ending=self.ending())
        if wants_usage(self.body):
            yield self.chunk([], USAGE)
        if self.behaviour != "no-end":
            yield "data: [DONE]\n\n"

    def delta(self, ending: dict[str, str] | None = None, **content: Any) -> str:
        return self.chunk([{"delta": {"content": "", "role": "assistant", **content}, **(ending or {}), "index": 0}])

    def chunk(self, choices: list[Any], usage: dict[str, Any] | None = None) -> str:
        return data_frame({"choices": choices, **self.base, "object": "chat.completion.chunk", "usage": usage})

    def error_frame(self) -> str:
        return data_frame(self.fake.error_body(self.fake.status_errors[500]))


def embed(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /embeddings: one vector for each input."""
    body = request.json
    rows = [{"embedding": samples.VECTOR, "index": index, "object": "embedding"} for index in range(len(body["input"]))]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    answer = {
        "created": CREATED,
        "id": REQUEST_ID,
        "data": rows,
        "model": body["model"],
        "object": "list",
        "usage": usage,
    }
    behaviour = behaviour_of(body["model"])
    return fake.failure(behaviour) or fake.reply(answer, behaviour)


def embed_multimodal(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /embeddings/multimodal: one vector for all inputs, `data` is an object."""
    model = request.json["model"]
    usage = {"prompt_tokens": 3, "total_tokens": 3, "prompt_tokens_details": {"text_tokens": 3, "image_tokens": 0}}
    row = {"embedding": samples.VECTOR, "object": "embedding"}
    answer = {"created": CREATED, "id": REQUEST_ID, "data": row, "model": model, "object": "list", "usage": usage}
    return fake.failure(behaviour_of(model)) or fake.reply(answer)


ROUTES = [
    ("POST", "/api/v3/chat/completions", complete_chat),
    ("POST", "/api/v3/embeddings", embed),
    ("POST", "/api/v3/embeddings/multimodal", embed_multimodal),
]
