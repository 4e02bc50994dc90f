"""OpenAI's completions: texts that are gone on with, whole and streamed."""

import time
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response, g, request
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.kit.streams import DONE, Writing, frame, respond
from blueprints.openai.chat import OpenAIUsageView, named, usage_view
from blueprints.openai.shapes import new_id, whole_or_streamed
from services.contracts.chat import ChatDelta, ChatReply, Usage, join_deltas
from services.contracts.openai_chat import OpenAICompletionRequest
from services.domains import chat

bp = make_blueprint("openai_completions", url_prefix="/v1", about="OpenAI's surface: completions")

# Which prompt a piece belongs to, and the piece.
Piece = tuple[int, ChatDelta]


class CompletionChoiceView(BaseModel):
    index: int
    text: str
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = Field(examples=["length"])


class CompletionView(BaseModel):
    """The texts in the order of their prompts."""

    id: str = Field(examples=["cmpl-0123456789abcdef"])
    object: str = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoiceView]
    usage: OpenAIUsageView


ANSWERS = whole_or_streamed(CompletionView, "The texts; with `stream` chunks as server-sent events, then [DONE]")


@bp.post("/completions", responses=ANSWERS)
@mark(limit="generation")
def complete(body: OpenAICompletionRequest) -> Response:
    """Go on with a text, or with several; a model that knows only chats answers it."""
    house, owner, request_id = services(), me().id, g.request_id
    starts = body.prompts if body.echo else [""] * len(body.prompts)

    def produce() -> Iterator[list[Piece]]:
        for index, asked in enumerate(body.chats()):
            stream = chat.continue_text(asked, services=house, owner=owner, request_id=request_id)
            try:
                if starts[index]:
                    yield [(index, ChatDelta(text=starts[index]))]
                for batch in stream:
                    yield [(index, delta) for delta in batch]
            finally:
                stream.close()  # type: ignore[attr-defined]

    if body.stream:
        writing = CompletionWriting(named(body.model), usage=body.wants_usage)
        return respond(produce, writing.encode, writing)
    with client_waits(request.environ):
        replies = join(produce(), count=len(starts))
    answer = head(named(body.model)) | {
        "choices": [choice(index, reply) for index, reply in enumerate(replies)],
        "usage": usage_view(total([reply.usage for reply in replies])),
    }
    return Response(orjson.dumps(answer), mimetype="application/json")


def join(pieces: Iterator[list[Piece]], *, count: int) -> list[ChatReply]:
    """The *count* answers that *pieces* add up to."""
    found: list[list[ChatDelta]] = [[] for _ in range(count)]
    for batch in pieces:
        for index, delta in batch:
            found[index].append(delta)
    return [join_deltas(iter([deltas]), model="") for deltas in found]


def head(model: str) -> dict[str, Any]:
    """What an answer and all its chunks begin with."""
    return {"id": new_id("cmpl"), "object": "text_completion", "created": int(time.time()), "model": model}


def choice(index: int, said: ChatReply | ChatDelta) -> dict[str, Any]:
    """One text, or a piece of it."""
    return {
        "index": index,
        "text": said.text,
        "logprobs": logprobs_view(said.logprobs),
        "finish_reason": said.finish_reason,
    }


def logprobs_view(told: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """How likely each token was, as completions tell it; offsets into the text of this piece."""
    if not told:
        return None
    tokens = [str(each.get("token", "")) for each in told]
    return {
        "tokens": tokens,
        "token_logprobs": [each.get("logprob") for each in told],
        "top_logprobs": [
            {str(one.get("token", "")): one.get("logprob") for one in each.get("top_logprobs") or ()} for each in told
        ],
        "text_offset": [sum(map(len, tokens[:number])) for number in range(len(tokens))],
    }


def total(usages: list[Usage]) -> Usage:
    """The tokens of several calls."""
    return Usage(*(sum(getattr(usage, name) for usage in usages) for name in Usage.__slots__))


class CompletionWriting(Writing):
    """One stream of completions; with *usage* a last chunk counts the tokens."""

    def __init__(self, model: str, *, usage: bool) -> None:
        self._head = head(model)
        self._wants_usage = usage
        self._usages: list[Usage] = []

    def encode(self, batch: list[Piece]) -> bytes:
        """Frames of what arrived together."""
        return b"".join(self._frame(index, delta) for index, delta in batch)

    def _frame(self, index: int, delta: ChatDelta) -> bytes:
        if delta.usage:
            self._usages.append(delta.usage)
        if not (delta.text or delta.finish_reason):
            return b""
        return frame(self._head | {"choices": [choice(index, delta)]} | ({"usage": None} if self._wants_usage else {}))

    def end(self) -> bytes:
        """The usage, where it is wanted, and the mark."""
        usage = frame(self._head | {"choices": [], "usage": usage_view(total(self._usages))})
        return (usage if self._wants_usage else b"") + DONE
