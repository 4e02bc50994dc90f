"""System 4: chat, whole and streamed."""

from typing import Any

import orjson
from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit import chats
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.marks import mark
from services.contracts.chat import ChatDelta, ChatReply, ChatRequest

bp = make_blueprint("chat", url_prefix="/api/chat", about="Chat with local and cloud models")


class TokensView(BaseModel):
    prompt_tokens: int = Field(examples=[10])
    completion_tokens: int = Field(examples=[20])
    total_tokens: int = Field(examples=[30])


class ChatView(BaseModel):
    """A whole answer; `reasoning_content` and `tool_calls` stand only where there are any."""

    id: str
    content: str = Field(examples=["你好！有什么我可以帮助你的吗？"])
    model: str = Field(examples=["qwen-turbo"])
    usage: TokensView
    finish_reason: str = Field(examples=["stop"])
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


STREAM: dict[int | str, Any] = {200: {"content": {"text/event-stream": {}}, "description": "Frames, then [DONE]"}}


@bp.post("/completions", responses={200: ChatView})
@mark(limit="generation")
def complete(body: ChatRequest) -> Response:
    """Answer a chat, whole."""
    return Response(orjson.dumps(view(chats.reply(body))), mimetype="application/json")


@bp.post("/stream", responses=STREAM)
@mark(limit="generation")
def stream(body: ChatRequest) -> Response:
    """Answer a chat piece by piece, as server-sent events `{"content", "finish_reason"}`."""
    return chats.stream(body, encode)


def view(reply: ChatReply) -> dict[str, Any]:
    """A whole answer in system 4's words."""
    usage = reply.usage
    shown: dict[str, Any] = {
        "id": reply.id,
        "content": reply.text,
        "model": reply.model,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
        "finish_reason": reply.finish_reason,
    }
    if reply.reasoning:
        shown["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        shown["tool_calls"] = [call.model_dump() for call in reply.tool_calls]
    return shown


def encode(batch: list[ChatDelta]) -> bytes:
    """Frames of what arrived together; a delta that only counts tokens has nothing for the reader."""
    return b"".join(
        b"data: " + orjson.dumps(frame_of(delta)) + b"\n\n"
        for delta in batch
        if delta.text or delta.finish_reason or delta.reasoning or delta.tool_calls
    )


def frame_of(delta: ChatDelta) -> dict[str, Any]:
    """One piece in system 4's words."""
    shown: dict[str, Any] = {"content": delta.text, "finish_reason": delta.finish_reason}
    if delta.reasoning:
        shown["reasoning_content"] = delta.reasoning
    if delta.tool_calls:
        shown["tool_calls"] = [
            {"index": call.index, "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in delta.tool_calls
        ]
    return shown
