"""Anthropic's POST /v1/messages and /v1/messages/count_tokens."""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes import samples
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.samples import ToolCall, tool_calls
from tests.fakes.sse import named_frame
from tests.fakes.vendor import VendorFake, behaviour_of

USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 6,
    "service_tier": "standard",
}
CACHED_USAGE = {**USAGE, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 400}
STREAMED_OUTPUT_TOKENS = 15
SAMPLING = ("temperature", "top_p", "top_k")
SIGNATURE = "EqQBCgIYAhIM"


def create_message(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /v1/messages, whole or streamed."""
    body = request.json
    if not isinstance(body, dict):
        return fake.invalid("The request body is not valid JSON")
    wrong = _wrong_field(body, request.headers["anthropic-version"]) or _wrong_message(body["messages"])
    if wrong:
        return fake.invalid(wrong)
    behaviour = behaviour_of(body["model"])
    failed = fake.failure(behaviour)
    if failed:
        return failed
    message = _Message(fake, body, behaviour, f"msg_{len(fake.requests)}")
    return fake.reply(message.frames() if body.get("stream") else message.whole(), behaviour)


def count_tokens(fake: VendorFake, request: RecordedRequest) -> Reply:
    return fake.reply({"input_tokens": 14})


def _wrong_field(body: dict[str, Any], version: str) -> str | None:
    for name in ("model", "messages", "max_tokens"):
        if not body.get(name):
            return f"{name}: Field required"
    sampling = [name for name in SAMPLING if name in body]
    if sampling and version >= "2026-10-21":
        return f"{sampling[0]}: Extra inputs are not permitted"
    if sampling and behaviour_of(body["model"]) == "no-sampling":
        return f"`{sampling[0]}` is deprecated for this model."
    if body.get("temperature", 0) > 1:
        return "temperature: range: 0..1"
    if any(not text.strip() for text in body.get("stop_sequences") or []):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    return None


def _wrong_message(messages: list[dict[str, Any]]) -> str | None:
    for place, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            return f'messages.{place}.role: unexpected role "{message.get("role")}"'
        for block in _blocks(message):
            if block["type"] == "text" and not block["text"].strip():
                return "messages: text content blocks must be non-empty"
            if (block.get("source") or {}).get("data", "").startswith("data:"):
                return f"messages.{place}.content.0.image.source.base64: invalid base64 data"
    if messages[0]["role"] != "user":
        return "messages: first message must use the user role"
    return _missing_tool_result(messages)


def _missing_tool_result(messages: list[dict[str, Any]]) -> str | None:
    for place, message in enumerate(messages):
        wanted = {block["id"] for block in _blocks(message) if block["type"] == "tool_use"}
        following = _blocks(messages[place + 1])[: len(wanted)] if place + 1 < len(messages) else []
        if wanted - {block.get("tool_use_id") for block in following}:
            return f"messages.{place + 1}: `tool_use` ids were found without `tool_result` blocks immediately after"
    return None


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


class _Message:
    """One answer, as a message or as the frames of a stream."""

    def __init__(self, fake: VendorFake, body: dict[str, Any], behaviour: str, name: str) -> None:
        self.fake, self.body, self.behaviour, self.name = fake, body, behaviour, name
        self.usage = CACHED_USAGE if behaviour == "cached" else USAGE
        self.calls = self._offered_calls()
        self.thinks = behaviour == "reasoning" or (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        self.stop_reason = fake.finish(behaviour, "tool_use" if self.calls else "end_turn")

    def _offered_calls(self) -> list[ToolCall]:
        answered = any(block["type"] == "tool_result" for block in _blocks(self.body["messages"][-1]))
        refused = (self.body.get("tool_choice") or {}).get("type") == "none"
        if not self.body.get("tools") or answered or refused:
            return []
        names = [tool["name"] for tool in self.body["tools"]]
        return tool_calls(names, self.behaviour == "parallel-tools")

    def whole(self) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": self.fake.text(self.behaviour)}]
        if self.thinks:
            content.insert(0, {"type": "thinking", "thinking": samples.REASONING, "signature": SIGNATURE})
        content += [self.tool_block(call, json.loads(call.arguments)) for call in self.calls]
        return self.envelope([] if self.behaviour == "empty-choices" else content, self.stop_reason, self.usage)

    def envelope(self, content: list[Any], stop_reason: str | None, usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.name,
            "type": "message",
            "role": "assistant",
            "model": self.body["model"],
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage,
        }

    def tool_block(self, call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": arguments}

    def frames(self) -> Iterator[Piece]:
        start = self.envelope([], None, {**self.usage, "output_tokens": 1})
        yield named_frame({"type": "message_start", "message": start})
        index = 0
        if self.thinks:
            yield from self.thinking_block()
            index = 1
        if self.behaviour != "empty-choices":
            yield from self.text_block(index)
        if self.behaviour in ("mid-error", "no-finish"):
            return
        for call in self.calls:
            index += 1
            yield from self.tool_use_block(index, call)
        stop = {"stop_reason": self.stop_reason, "stop_sequence": None}
        usage = {"output_tokens": STREAMED_OUTPUT_TOKENS}
        yield named_frame({"type": "message_delta", "delta": stop, "usage": usage})
        if self.behaviour != "no-end":
            yield named_frame({"type": "message_stop"})

    def thinking_block(self) -> Iterator[Piece]:
        yield self.block_start(0, {"type": "thinking", "thinking": "", "signature": ""})
        for text in samples.REASONING_PIECES:
            yield self.delta(0, "thinking_delta", thinking=text)
        yield self.delta(0, "signature_delta", signature=SIGNATURE)
        yield named_frame({"type": "content_block_stop", "index": 0})

    def text_block(self, index: int) -> Iterator[Piece]:
        yield self.block_start(index, {"type": "text", "text": ""})
        yield named_frame({"type": "ping"})
        if self.behaviour == "no-name":
            yield self.delta(index, "text_delta", text="LOST").partition("\n")[2]
        if self.behaviour == "new-event":
            yield named_frame({"type": "future_event", "x": 1})
        yield from self.fake.deltas(self.behaviour, lambda text: self.text_delta(index, text), self.error_frame())
        if self.behaviour not in ("mid-error", "no-finish"):
            yield named_frame({"type": "content_block_stop", "index": index})

    def text_delta(self, index: int, text: str) -> str:
        ping = named_frame({"type": "ping"}) if self.behaviour == "pings" else ""
        return self.delta(index, "text_delta", text=text) + ping

    def tool_use_block(self, index: int, call: ToolCall) -> Iterator[Piece]:
        yield self.block_start(index, self.tool_block(call, {}))
        for text in ("", *samples.halves(call.arguments)):
            yield self.delta(index, "input_json_delta", partial_json=text)
        yield named_frame({"type": "content_block_stop", "index": index})

    def block_start(self, index: int, block: dict[str, Any]) -> str:
        return named_frame({"type": "content_block_start", "index": index, "content_block": block})

    def delta(self, index: int, kind: str, **content: str) -> str:
        return named_frame({"type": "content_block_delta", "index": index, "delta": {"type": kind, **content}})

    def error_frame(self) -> str:
        return named_frame(self.fake.error_body(self.fake.errors["overloaded"]))


ROUTES = [("POST", "/v1/messages", create_message), ("POST", "/v1/messages/count_tokens", count_tokens)]
