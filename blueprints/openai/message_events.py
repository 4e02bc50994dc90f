"""Answers as Anthropic's events: blocks that open, grow and close, one after the other.

Source: platform.claude.com/docs, streaming messages, 2026.
"""

from typing import Any

import orjson

from blueprints.kit.streams import Writing
from blueprints.openai.shapes import new_id
from services.contracts.chat import ChatDelta, FinishReason, ToolDelta, Usage

STOP_REASONS: dict[FinishReason | None, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def event(name: str, **payload: Any) -> bytes:
    """One event; the package drops those without a name, and reads the kind inside too."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps({"type": name, **payload}) + b"\n\n"


class MessageWriting(Writing):
    """One streamed answer. What counts tokens comes last, since models tell it last."""

    heartbeat = event("ping")

    def __init__(self, model: str) -> None:
        self._model = model
        self._usage = Usage()
        self._finish: FinishReason | None = None
        self._begun = False
        self._blocks = 0
        self._open: str | None = None
        self._calls: dict[int, int] = {}

    def encode(self, batch: list[ChatDelta]) -> bytes:
        """Events of what arrived together."""
        begin = b"" if self._begun else self._begin()
        return begin + b"".join(self._events(delta) for delta in batch)

    def end(self) -> bytes:
        """What closes the last block and the message."""
        begin = b"" if self._begun else self._begin()
        told = {"stop_reason": stop_reason(self._finish), "stop_sequence": None}
        closing = event("message_delta", delta=told, usage=usage_view(self._usage))
        return begin + self._close() + closing + event("message_stop")

    def fail(self, body: dict[str, Any]) -> bytes:
        """The error as an event; nothing follows it."""
        return event("error", error=body["error"], request_id=body.get("request_id"))

    def _begin(self) -> bytes:
        self._begun = True
        message = empty_message(self._model) | {"usage": usage_view(Usage())}
        return event("message_start", message=message) + self.heartbeat

    def _events(self, delta: ChatDelta) -> bytes:
        self._usage = delta.usage or self._usage
        self._finish = delta.finish_reason or self._finish
        events = b""
        if delta.reasoning:
            events += self._opened("thinking", {"thinking": "", "signature": ""})
            events += self._grow(self._blocks, {"type": "thinking_delta", "thinking": delta.reasoning})
        if delta.text:
            events += self._opened("text", {"text": ""})
            events += self._grow(self._blocks, {"type": "text_delta", "text": delta.text})
        return events + b"".join(self._call(call) for call in delta.tool_calls or ())

    def _call(self, call: ToolDelta) -> bytes:
        events = b""
        if call.index not in self._calls:
            events = self._close()
            self._calls[call.index] = self._blocks
            head = {"id": call.id or new_id("toolu"), "name": call.name or "", "input": {}}
            events += self._opened("tool_use", head)
        piece = {"type": "input_json_delta", "partial_json": call.arguments}
        return events + self._grow(self._calls[call.index], piece)

    def _opened(self, kind: str, block: dict[str, Any]) -> bytes:
        """What makes a block of *kind* the open one; nothing where it is."""
        if self._open == kind:
            return b""
        closed = self._close()
        self._open = kind
        return closed + event("content_block_start", index=self._blocks, content_block={"type": kind, **block})

    def _grow(self, index: int, delta: dict[str, Any]) -> bytes:
        return event("content_block_delta", index=index, delta=delta)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._blocks += 1
        return event("content_block_stop", index=self._blocks - 1)


def empty_message(model: str) -> dict[str, Any]:
    """A message that says nothing yet."""
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def stop_reason(reason: FinishReason | None) -> str:
    """Why an answer ended, in Anthropic's words."""
    return STOP_REASONS.get(reason, "end_turn")


def usage_view(usage: Usage) -> dict[str, Any]:
    """Tokens in Anthropic's words: what was cached is counted apart."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def input_of(arguments: str) -> dict[str, Any]:
    """What a tool is called with; a model may write what is no JSON object, which is handed on as it is."""
    try:
        parsed = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}
