"""OpenAI's chat completions, whole and streamed."""

import time
from typing import Any

import orjson
from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit import chats
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.streams import DONE, Writing, frame
from blueprints.openai.shapes import new_id, whole_or_streamed
from services.contracts.chat import ChatDelta, ChatReply, ToolDelta, Usage
from services.contracts.openai_chat import OpenAIChatRequest
from services.domains import chat

bp = make_blueprint("openai_chat", url_prefix="/v1/chat", about="OpenAI's surface: chat")


class OpenAIUsageView(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] = {}
    completion_tokens_details: dict[str, int] = {}


class OpenAIMessageView(BaseModel):
    """The answer; `tool_calls` and `reasoning_content` stand only where there are any."""

    role: str = "assistant"
    content: str | None
    refusal: str | None = None
    annotations: list[Any] = []
    tool_calls: list[dict[str, Any]] | None = None
    reasoning_content: str | None = None


class OpenAIChoiceView(BaseModel):
    index: int = 0
    message: OpenAIMessageView
    logprobs: dict[str, Any] | None = None
    finish_reason: str = Field(examples=["stop"])


class OpenAIChatView(BaseModel):
    """A whole answer in OpenAI's words."""

    id: str = Field(examples=["chatcmpl-0123456789abcdef"])
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[OpenAIChoiceView]
    usage: OpenAIUsageView
    service_tier: str = "default"
    system_fingerprint: str | None = None


ANSWERS = whole_or_streamed(OpenAIChatView, "The answer; with `stream` chunks as server-sent events, then [DONE]")


@bp.post("/completions", responses=ANSWERS)
@mark(limit="generation")
def complete(body: OpenAIChatRequest) -> Response:
    """Answer a chat as OpenAI does, whole or with `stream` piece by piece."""
    asked = body.plain()
    if body.stream:
        writing = ChatWriting(named(body.model), usage=body.wants_usage)
        return chats.stream(asked, writing.encode, writing)
    return Response(orjson.dumps(view(chats.reply(asked), body.model)), mimetype="application/json")


def named(model: str | None) -> str:
    """What answers call the model: as the caller did, else by its id. Raises what choosing a default raises."""
    return model or chat.default_model(services=services(), owner=me().id)


def view(reply: ChatReply, model: str | None) -> dict[str, Any]:
    """A whole answer in OpenAI's words."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text if reply.text or not reply.tool_calls else None,
        "refusal": None,
        "annotations": [],
    }
    if reply.tool_calls:
        message["tool_calls"] = [call.model_dump() for call in reply.tool_calls]
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    choice = {
        "index": 0,
        "message": message,
        "logprobs": logprobs_view(reply.logprobs),
        "finish_reason": reply.finish_reason,
    }
    return {
        "id": reply.id or new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model or reply.model,
        "choices": [choice],
        "usage": usage_view(reply.usage),
        "service_tier": "default",
        "system_fingerprint": None,
    }


class ChatWriting(Writing):
    """One stream in OpenAI's words: the role comes first, and with *usage* a last chunk that counts tokens."""

    def __init__(self, model: str, *, usage: bool) -> None:
        self._wants_usage = usage
        self._usage = Usage()
        self._begun = False
        self._calls: set[int] = set()
        self._head = {
            "id": new_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }

    def encode(self, batch: list[ChatDelta]) -> bytes:
        """Frames of what arrived together."""
        return b"".join(self._frame(delta) for delta in batch)

    def end(self) -> bytes:
        """The usage, where it is wanted, and the mark."""
        frames = b"" if self._begun else self._first()
        if self._wants_usage:
            frames += frame(self._head | {"choices": [], "usage": usage_view(self._usage)})
        return frames + DONE

    def _frame(self, delta: ChatDelta) -> bytes:
        self._usage = delta.usage or self._usage
        said = self._said(delta)
        if not said and not delta.finish_reason:
            return b""
        first = b"" if self._begun else self._first()
        # A reason to finish has a chunk of its own, with an empty delta.
        pieces = self._chunk(said, logprobs=delta.logprobs) if said else b""
        return first + pieces + (self._chunk({}, finish=delta.finish_reason) if delta.finish_reason else b"")

    def _said(self, delta: ChatDelta) -> dict[str, Any]:
        """What one piece says; nothing for one that only counts or ends."""
        said: dict[str, Any] = {"content": delta.text} if delta.text else {}
        if delta.reasoning:
            said["reasoning_content"] = delta.reasoning
        if delta.tool_calls:
            said["tool_calls"] = [self._called(call) for call in delta.tool_calls]
        return said

    def _called(self, call: ToolDelta) -> dict[str, Any]:
        """A piece of a tool call; id, type and name stand in the first one alone, whatever the model repeats."""
        if call.index in self._calls:
            return {"index": call.index, "function": {"arguments": call.arguments}}
        self._calls.add(call.index)
        function = {"name": call.name or "", "arguments": call.arguments}
        return {"index": call.index, "id": call.id or new_id("call"), "type": "function", "function": function}

    def _first(self) -> bytes:
        self._begun = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs_view(logprobs), "finish_reason": finish}
        return frame(self._head | {"choices": [choice]} | ({"usage": None} if self._wants_usage else {}))


def logprobs_view(logprobs: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """How likely each token was."""
    return {"content": logprobs, "refusal": None} if logprobs else None


def usage_view(usage: Usage) -> dict[str, Any]:
    """Tokens in OpenAI's words."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
