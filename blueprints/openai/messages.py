"""Anthropic's messages, whole and streamed, and how many tokens a prompt has."""

from typing import Any, Literal

import orjson
from flask import Response, request
from pydantic import BaseModel, Field

from blueprints.kit import chats
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.openai.chat import named
from blueprints.openai.message_events import MessageWriting, empty_message, input_of, stop_reason, usage_view
from blueprints.openai.shapes import new_id, whole_or_streamed
from services.contracts.anthropic_messages import AnthropicPrompt, AnthropicRequest
from services.contracts.chat import ChatReply
from services.domains import chat


class AnthropicErrorDetail(BaseModel):
    type: str = Field(examples=["not_found_error"])
    message: str
    details: dict[str, Any] = {}


class AnthropicErrorBody(BaseModel):
    """An error as Anthropic's package reads it."""

    type: Literal["error"] = "error"
    error: AnthropicErrorDetail
    request_id: str = Field(examples=["req-0123456789abcdef"])


class AnthropicUsageView(BaseModel):
    """Input tokens leave the cached ones out."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int
    service_tier: str = "standard"


class AnthropicMessageView(BaseModel):
    """A whole answer in Anthropic's words: blocks of kind `thinking`, `text` and `tool_use`."""

    id: str = Field(examples=["msg_0123456789abcdef"])
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[dict[str, Any]]
    stop_reason: str = Field(examples=["end_turn"])
    stop_sequence: str | None = None
    usage: AnthropicUsageView


class TokenCountView(BaseModel):
    """How many tokens a prompt has; an estimate by its length where its provider does not tell."""

    input_tokens: int
    estimated: bool = False


bp = make_blueprint(
    "anthropic_messages", url_prefix="/v1/messages", about="Anthropic's messages", error=AnthropicErrorBody
)
ANSWERS = whole_or_streamed(AnthropicMessageView, "The answer; with `stream` Anthropic's events")


@bp.post("", responses=ANSWERS)
@mark(limit="generation")
def create(body: AnthropicRequest) -> Response:
    """Answer a chat as Anthropic does, whole or with `stream` event by event."""
    asked = body.plain()
    if body.stream:
        writing = MessageWriting(named(body.model))
        return chats.stream(asked, writing.encode, writing)
    return Response(orjson.dumps(view(chats.reply(asked), body.model)), mimetype="application/json")


@bp.post("/count_tokens", responses={200: TokenCountView})
@mark(limit="generation")
def count_tokens(body: AnthropicPrompt) -> dict[str, Any]:
    """Count the tokens of a prompt without an answer."""
    with client_waits(request.environ):
        counted = chat.count(body.plain(), services=services(), owner=me().id)
    return TokenCountView(input_tokens=counted.tokens, estimated=counted.estimated).model_dump()


def view(reply: ChatReply, model: str | None) -> dict[str, Any]:
    """A whole answer in Anthropic's words."""
    content: list[dict[str, Any]] = []
    if reply.reasoning:
        content.append({"type": "thinking", "thinking": reply.reasoning, "signature": ""})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    for call in reply.tool_calls:
        tool_input = input_of(call.function.arguments)
        content.append(
            {"type": "tool_use", "id": call.id or new_id("toolu"), "name": call.function.name, "input": tool_input}
        )
    return empty_message(model or reply.model) | {
        "content": content,
        "stop_reason": stop_reason(reply.finish_reason),
        "usage": usage_view(reply.usage) | {"service_tier": "standard"},
    }
