"""Alibaba's DashScope (Bailian) by its native protocol, incremental.

Source: help.aliyun.com/zh/model-studio, and recorded traffic. Its texts are strings on text models and lists
on vision ones, "null" is a finish reason, usage stands on every frame, and nothing marks the end.
"""

from collections.abc import Iterator
from typing import Any

from services.contracts.chat import (
    ChatDelta,
    ChatMessage,
    ChatModel,
    ChatReply,
    ChatRequest,
    FunctionCall,
    ImagePart,
    ToolCall,
    Usage,
)
from services.contracts.embeddings import EmbeddingModel
from services.contracts.images import ImageModel
from services.contracts.models import CatalogRow, ChatFlags
from services.contracts.video import VideoModel
from services.errors import Invalid
from services.providers.base import Provider, together
from services.providers.dashscope_embeddings import DashScopeEmbedder
from services.providers.dashscope_films import DashScopeCamera
from services.providers.dashscope_images import DashScopePainter
from services.providers.failures import failure, no_answer
from services.providers.openai_like import broken_stream, finished, tool_delta
from services.providers.sse import Event

TEXT = "/services/aigc/text-generation/generation"
MULTIMODAL = "/services/aigc/multimodal-generation/generation"
HIGHEST_TEMPERATURE = 1.99
# What goes elsewhere in the body, and what this protocol has no word for.
NOT_TAKEN = {"model", "messages", "tool_choice", "frequency_penalty", "logit_bias", "reasoning_effort"}


class DashScope(Provider):
    name = "dashscope"
    aliases = ("qwen",)
    key_setting = "dashscope_api_key"
    url_setting = "dashscope_base_url"
    model_prefixes = ("qwen", "qwq", "qvq", "wan", "z-image", "text-embedding-v")

    def chat(self, model: str, flags: ChatFlags) -> ChatModel:
        vision = flags.vision or "-vl" in model or model.startswith("qvq")
        return DashScopeChat(self, model, flags.model_copy(update={"vision": vision}))

    def embeddings(self, model: str) -> EmbeddingModel:
        return DashScopeEmbedder(self, model)

    def images(self, model: str, row: CatalogRow | None) -> ImageModel:
        return DashScopePainter(self, model)

    def video(self, model: str, row: CatalogRow | None) -> VideoModel:
        return DashScopeCamera(self, model)


class DashScopeChat(ChatModel):
    """One chat model, on the text or on the multimodal address."""

    def __init__(self, provider: DashScope, model: str, flags: ChatFlags) -> None:
        self._provider, self._model, self._flags = provider, model, flags
        self._path = MULTIMODAL if flags.vision else TEXT

    def reply(self, request: ChatRequest) -> ChatReply:
        if self._flags.stream_only or self._flags.thinking == "only":
            return super().reply(request)
        answer = self._provider.post(self._path, self._body(request))
        choice = _choice(answer)
        if not choice:
            raise no_answer()
        message = choice.get("message") or {}
        calls = [_tool_call(call) for call in message.get("tool_calls") or []]
        return ChatReply(
            id=str(answer.get("request_id") or ""),
            model=self._model,
            text=_text(message),
            reasoning=message.get("reasoning_content") or "",
            tool_calls=calls,
            finish_reason=finished(choice.get("finish_reason"), calls=bool(calls)) or "stop",
            usage=_usage(answer.get("usage")) or Usage(),
        )

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        body = self._body(request)
        body["parameters"]["incremental_output"] = True
        reading = _Reading(self._provider.key)
        with self._provider.stream(self._path, body, **{"X-DashScope-SSE": "enable"}) as arrivals:
            for events in arrivals:
                yield from together(reading.take(event) for event in events)
        if not reading.ended:
            raise broken_stream()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        messages = _merge([self._message(message) for message in request.messages])
        return {"model": self._model, "input": {"messages": messages}, "parameters": self._parameters(request)}

    def _parameters(self, request: ChatRequest) -> dict[str, Any]:
        asked = request.model_dump(exclude_none=True, exclude=NOT_TAKEN)
        if not self._flags.accepts_temperature:
            asked = {name: value for name, value in asked.items() if name not in {"temperature", "top_p"}}
        if "temperature" in asked:
            asked["temperature"] = min(asked["temperature"], HIGHEST_TEMPERATURE)
        if self._flags.max_output_tokens and "max_tokens" in asked:
            asked["max_tokens"] = min(asked["max_tokens"], self._flags.max_output_tokens)
        if request.tool_choice and request.tools:
            # Qwen knows no "required".
            asked["tool_choice"] = "auto" if request.tool_choice == "required" else request.tool_choice
        if self._flags.thinking == "optional":
            asked["enable_thinking"] = False
        return {"result_format": "message", **asked}

    def _message(self, message: ChatMessage) -> dict[str, Any]:
        role = "system" if message.role == "developer" else message.role
        shown: dict[str, Any] = {"role": role, "content": self._content(message)}
        if message.tool_calls:
            shown["tool_calls"] = [call.model_dump() for call in message.tool_calls]
        if message.tool_call_id:
            shown["tool_call_id"] = message.tool_call_id
        return shown

    def _content(self, message: ChatMessage) -> str | list[dict[str, str]]:
        if not self._flags.vision:
            if message.images:
                raise Invalid(
                    "messages",
                    "Model {model} reads no images; choose a vision model such as qwen-vl-plus.",
                    "模型 {model} 不支持图片，请选择视觉模型，例如 qwen-vl-plus。",
                    reason="no_vision",
                    model=self._model,
                )
            return message.text
        if not isinstance(message.content, list):
            return [{"text": message.content}] if message.content else []
        return [
            {"image": part.image_url.url} if isinstance(part, ImagePart) else {"text": part.text}
            for part in message.content
        ]


def _merge(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns of one role in a row joined: older models refuse them."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        last = merged[-1] if merged else None
        plain = last is not None and message.keys() == last.keys() == {"role", "content"}
        if last is not None and plain and last["role"] == message["role"] and message["role"] != "tool":
            joined = isinstance(message["content"], str)
            last["content"] = last["content"] + ("\n\n" if joined else []) + message["content"]
        else:
            merged.append(message)
    return merged


def _choice(frame: dict[str, Any]) -> dict[str, Any]:
    """The first choice, also of old models that answer a bare text."""
    output = frame.get("output") or {}
    if "choices" in output:
        return dict((output["choices"] or [{}])[0] or {})
    return {"message": {"content": output.get("text") or ""}, "finish_reason": output.get("finish_reason")}


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


class _Reading:
    """Reads one stream: whether tools were called, and the reason to finish came."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._called = self.ended = False

    def take(self, event: Event) -> ChatDelta | None:
        name, frame, status = event
        if not isinstance(frame, dict):
            return None
        if name == "error" or frame.get("error") or (frame.get("code") and not frame.get("output")):
            raise failure(status or 200, frame, key=self._key)
        delta = _delta(frame, called=self._called)
        self._called = self._called or bool(delta.tool_calls)
        self.ended = self.ended or delta.finish_reason is not None
        return delta


def _delta(frame: dict[str, Any], *, called: bool) -> ChatDelta:
    choice = _choice(frame)
    message = choice.get("message") or {}
    calls = message.get("tool_calls")
    return ChatDelta(
        _text(message),
        message.get("reasoning_content") or "",
        [tool_delta(call) for call in calls] if calls else None,
        finished(choice.get("finish_reason"), calls=called or bool(calls)),
        _usage(frame.get("usage")),
        frame.get("request_id"),
    )


def _usage(used: Any) -> Usage | None:
    if not isinstance(used, dict) or not used:
        return None
    prompt, completion = used.get("input_tokens") or 0, used.get("output_tokens") or 0
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=used.get("total_tokens") or prompt + completion,
        cached_tokens=(used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning_tokens=(used.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def _tool_call(call: dict[str, Any]) -> ToolCall:
    function = call.get("function") or {}
    return ToolCall(
        id=call.get("id") or "",
        function=FunctionCall(name=function.get("name") or "", arguments=function.get("arguments") or ""),
    )
