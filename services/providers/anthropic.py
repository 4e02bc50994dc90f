"""Anthropic's Messages API.

Source: platform.claude.com/docs, version 2023-06-01, which still takes a temperature where the model does.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from services.contracts.chat import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    FunctionCall,
    TokenCount,
    ToolCall,
    ToolDelta,
    Usage,
)
from services.contracts.models import ChatFlags
from services.outbound import Outbound
from services.providers.anthropic_messages import to_messages, to_tool_choice, to_tools
from services.providers.base import Provider, together
from services.providers.failures import failure
from services.providers.openai_like import broken_stream, finished

VERSION = "2023-06-01"
ANSWER_TOKENS = 4096
COUNTED = {"model", "messages", "system", "tools", "tool_choice"}


class Anthropic(Provider):
    name = "anthropic"
    key_setting = "anthropic_api_key"
    url_setting = "anthropic_base_url"
    model_prefixes = ("claude-",)
    models_path = "/v1/models"

    def __init__(self, outbound: Outbound, *, key: str = "", base_url: str = "", trusted: bool = False) -> None:
        # The paths here begin with the version, and many write it into the base URL as for other vendors.
        address = base_url.rstrip("/").removesuffix("/v1")
        super().__init__(outbound, key=key, base_url=address, trusted=trusted)

    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key, "anthropic-version": VERSION}

    def chat(self, model: str, flags: ChatFlags) -> ChatModel:
        return AnthropicChat(self, model, flags)


class AnthropicChat(ChatModel):
    """One chat model behind `/v1/messages`."""

    path = "/v1/messages"

    def __init__(self, provider: Anthropic, model: str, flags: ChatFlags) -> None:
        self._provider, self._model, self._flags = provider, model, flags

    def reply(self, request: ChatRequest) -> ChatReply:
        answer = self._provider.post(self.path, self._body(request))
        reply = ChatReply(id=str(answer.get("id") or ""), model=self._model)
        for block in answer.get("content") or []:
            if block.get("type") == "text":
                reply.text += block.get("text") or ""
            elif block.get("type") == "thinking":
                reply.reasoning += block.get("thinking") or ""
            elif block.get("type") == "tool_use":
                reply.tool_calls.append(_tool_call(block))
        reply.finish_reason = finished(answer.get("stop_reason"), calls=bool(reply.tool_calls)) or "stop"
        reply.usage = usage_of(answer.get("usage") or {})
        return reply

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        reading = _Reading(self._provider.key)
        with self._provider.stream(self.path, self._body(request) | {"stream": True}) as arrivals:
            for events in arrivals:
                yield from together(reading.take(event.data) for event in events)
                if reading.marked:
                    break
        if not reading.ended:
            raise broken_stream()

    def count(self, request: ChatRequest) -> TokenCount:
        body = {name: value for name, value in self._body(request).items() if name in COUNTED}
        return TokenCount(int(self._provider.post(f"{self.path}/count_tokens", body).get("input_tokens") or 0))

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        system, messages = to_messages(request.messages)
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens or self._flags.max_output_tokens or ANSWER_TOKENS,
            "messages": messages,
        }
        if system:
            body["system"] = system
        if self._flags.accepts_temperature and request.temperature is not None:
            body["temperature"] = min(request.temperature, 1.0)
        elif self._flags.accepts_temperature and request.top_p is not None:
            body["top_p"] = request.top_p
        stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
        if stops := [stop for stop in stops if stop.strip()]:
            body["stop_sequences"] = stops
        if request.tools:
            body["tools"] = to_tools(request.tools)
            if request.tool_choice:
                body["tool_choice"] = to_tool_choice(request.tool_choice)
        return body


class _Reading:
    """Reads one stream: tool calls are counted in their own order, tokens come in two places."""

    def __init__(self, key: str) -> None:
        self.ended = self.marked = False
        self._key = key
        self._id: str | None = None
        self._calls: dict[int, int] = {}
        self._used: dict[str, Any] = {}

    def take(self, event: Any) -> ChatDelta | None:
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "content_block_delta":
            return self._block_delta(event)
        if kind == "content_block_start":
            return self._block_start(event)
        if kind == "message_start":
            message = event.get("message") or {}
            self._id, self._used = message.get("id"), dict(message.get("usage") or {})
        elif kind == "message_delta":
            return self._message_delta(event)
        elif kind == "message_stop":
            self.ended = self.marked = True
        elif kind == "error":
            raise failure(200, event, key=self._key)
        return None  # Pings, and kinds that later versions add.

    def _block_start(self, event: dict[str, Any]) -> ChatDelta | None:
        block = event.get("content_block") or {}
        if block.get("type") == "tool_use":
            index = self._calls.setdefault(event.get("index", 0), len(self._calls))
            return ChatDelta(tool_calls=[ToolDelta(index, block.get("id"), block.get("name"))], id=self._id)
        text = block.get("text")
        return ChatDelta(text, id=self._id) if text else None

    def _block_delta(self, event: dict[str, Any]) -> ChatDelta | None:
        delta = event.get("delta") or {}
        if text := delta.get("text"):
            return ChatDelta(text, id=self._id)
        if thought := delta.get("thinking"):
            return ChatDelta("", thought, id=self._id)
        if piece := delta.get("partial_json"):
            index = self._calls.get(event.get("index", 0), 0)
            return ChatDelta(tool_calls=[ToolDelta(index, arguments=piece)], id=self._id)
        return None

    def _message_delta(self, event: dict[str, Any]) -> ChatDelta:
        self._used |= {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
        reason = finished((event.get("delta") or {}).get("stop_reason"), calls=bool(self._calls))
        self.ended = self.ended or reason is not None
        return ChatDelta(finish_reason=reason, usage=usage_of(self._used), id=self._id)


def usage_of(used: dict[str, Any]) -> Usage:
    """Anthropic's usage as ours: its input tokens leave the cached ones out."""
    cached = used.get("cache_read_input_tokens") or 0
    prompt = (used.get("input_tokens") or 0) + (used.get("cache_creation_input_tokens") or 0) + cached
    completion = used.get("output_tokens") or 0
    thought = (used.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Usage(prompt, completion, prompt + completion, cached, thought)


def _tool_call(block: dict[str, Any]) -> ToolCall:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    return ToolCall(id=block.get("id") or "", function=FunctionCall(name=block.get("name") or "", arguments=arguments))
