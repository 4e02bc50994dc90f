"""OpenAI's chat completions and embeddings."""

import base64
import struct
from collections.abc import Iterator
from typing import Any

from tests.fakes import samples
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED, call_object, offered_calls, wants_usage
from tests.fakes.samples import ToolCall
from tests.fakes.sse import data_frame
from tests.fakes.vendor import VendorFake, behaviour_of

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 12,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
REASONING_MODELS = ("o1", "o3", "o4", "gpt-5")


def complete_chat(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /chat/completions, whole or streamed."""
    body = request.json
    refused = _refused(fake, body)
    if refused:
        return refused
    behaviour = behaviour_of(body["model"])
    if behaviour == "minimal":
        return Reply({"choices": [{"message": {"content": "x"}}]})
    if body.get("stream"):
        return fake.reply(_Stream(fake, body, behaviour, str(len(fake.requests))).frames(), behaviour)
    return fake.reply(_completion(fake, body, behaviour, str(len(fake.requests))), behaviour)


def _refused(fake: VendorFake, body: Any) -> Reply | None:
    if not isinstance(body, dict):
        return fake.invalid("We could not parse the JSON body of your request.")
    for name in ("model", "messages"):
        if not body.get(name):
            return fake.invalid(f"Missing required parameter: '{name}'.", name)
    if (body.get("temperature") or 0) > 2:
        return fake.invalid("Invalid 'temperature': expected a value <= 2.", "temperature")
    if len(body["stop"]) > 4 if isinstance(body.get("stop"), list) else False:
        return fake.invalid("Invalid 'stop': array too long.", "stop")
    if body.get("max_tokens") is not None and body["model"].startswith(REASONING_MODELS):
        return fake.invalid("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.", "max_tokens")
    return fake.failure(behaviour_of(body["model"]))


def _completion(fake: VendorFake, body: dict[str, Any], behaviour: str, number: str) -> dict[str, Any]:
    calls = offered_calls(body, behaviour)
    message: dict[str, Any] = {"role": "assistant", "content": fake.text(behaviour), "refusal": None, "annotations": []}
    if behaviour == "reasoning":
        message["reasoning_content"] = samples.REASONING
    if calls:
        message |= {"content": None, "tool_calls": [call_object(call) for call in calls]}
    finish = fake.finish(behaviour, "tool_calls" if calls else "stop")
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body["model"],
        "choices": [] if behaviour == "empty-choices" else [choice],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": None,
    }


class _Stream:
    """The frames of one streamed answer."""

    def __init__(self, fake: VendorFake, body: dict[str, Any], behaviour: str, number: str) -> None:
        self.fake, self.body, self.behaviour = fake, body, behaviour
        self.base = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": body["model"],
        }

    def frames(self) -> Iterator[Piece]:
        yield self.delta({"role": "assistant", "content": "", "refusal": None})
        if self.behaviour == "reasoning":
            for text in samples.REASONING_PIECES:
                yield self.delta({"reasoning_content": text})
        if self.behaviour == "empty-choices":
            yield self.frame({**self.base, "choices": []})
        calls = offered_calls(self.body, self.behaviour)
        if calls:
            yield from self.tool_deltas(calls)
        else:
            yield from self.fake.deltas(self.behaviour, lambda text: self.delta({"content": text}), self.error_frame())
        if self.behaviour in ("mid-error", "no-finish"):
            return
        yield self.delta({}, self.fake.finish(self.behaviour, "tool_calls" if calls else "stop"))
        if wants_usage(self.body):
            yield self.frame({**self.base, "choices": [], "usage": USAGE})
        if self.behaviour != "no-end":
            yield "data: [DONE]\n\n"

    def tool_deltas(self, calls: list[ToolCall]) -> Iterator[Piece]:
        later = {"id": ""} if self.behaviour == "repeated-id" else {}
        for index, call in enumerate(calls):
            opening = call._replace(arguments="")
            yield self.delta({"tool_calls": [call_object(opening, index=index)]})
            for text in samples.halves(call.arguments):
                yield self.delta({"tool_calls": [{"index": index, **later, "function": {"arguments": text}}]})

    def delta(self, delta: dict[str, Any], finish: str | None = None) -> str:
        if finish is None and self.behaviour == "null-finish":
            finish = "null"
        chunk = {**self.base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        if self.behaviour == "usage-each":
            chunk["usage"] = USAGE
        elif wants_usage(self.body):
            chunk["usage"] = None
        return self.frame(chunk)

    def frame(self, chunk: dict[str, Any]) -> str:
        return ("event: chunk\n" if self.behaviour == "event-names" else "") + data_frame(chunk)

    def error_frame(self) -> str:
        return data_frame(self.fake.error_body(self.fake.status_errors[500]))


def embed(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /embeddings: the same vector for each input, as floats or base64 of float32."""
    body = request.json
    behaviour = behaviour_of(body["model"])
    inputs = body["input"]
    single = isinstance(inputs, str) or (inputs and isinstance(inputs[0], int))
    vector: Any = samples.VECTOR
    if body.get("encoding_format") == "base64" and behaviour != "floats-anyway":
        vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    rows = [
        {"object": "embedding", "index": index, "embedding": vector} for index in range(1 if single else len(inputs))
    ]
    answer = {"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    return fake.failure(behaviour) or fake.reply(answer, behaviour)


ROUTES = [("POST", "/v1/chat/completions", complete_chat), ("POST", "/v1/embeddings", embed)]
