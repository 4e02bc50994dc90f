"""Chat: a list of messages becomes an answer, as a stream of deltas or as one reply."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from services.contracts.texts import PlainText

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ImageUrl(BaseModel):
    url: str = Field(description="`https://…` or `data:image/…;base64,…`")
    detail: str | None = None


class TextPart(BaseModel):
    type: Literal["text"]
    text: PlainText


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class FunctionCall(BaseModel):
    name: str
    arguments: str = Field(description="The arguments as a JSON string")


class ToolCall(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(BaseModel):
    """One turn. `content` is text or parts; a tool's answer carries `tool_call_id`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: PlainText | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text of the content, its parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or [] if isinstance(part, TextPart))

    @property
    def images(self) -> list[str]:
        """URLs of the image parts, in order."""
        if not isinstance(self.content, list):
            return []
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]


class ChatRequest(BaseModel):
    """What is asked of a chat model, in OpenAI's words; unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}]}
        }
    )

    model: str | None = Field(
        None, max_length=256, description="A catalog id or `provider/model`; empty takes the default"
    )
    messages: list[ChatMessage] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, description="Of so many likeliest tokens one is taken; 0 sets no bound")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens of the answer")
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    reasoning_effort: str | None = None


@dataclass(slots=True)
class Usage:
    """Tokens of one call; cached and reasoning tokens are parts of the first two."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(slots=True)
class ToolDelta:
    """A piece of a tool call: `id` and `name` come once, `arguments` in pieces to be joined by `index`."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(slots=True)
class ChatDelta:
    """A piece of an answer. The last ones carry the finish reason and the usage.

    A slotted dataclass and not a pydantic model: thousands pass each second.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolDelta] | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    id: str | None = None
    logprobs: list[dict[str, Any]] | None = None
    """OpenAI's `logprobs.content` of these pieces, where they were asked for and the model tells them."""


@dataclass(slots=True)
class ChatReply:
    """A whole answer."""

    id: str
    model: str
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    logprobs: list[dict[str, Any]] | None = None


# A word of English is a token and a third; a sign of Chinese is most of one.
BYTES_A_TOKEN = 4
TOKENS_A_MESSAGE = 4
TOKENS_AN_IMAGE = 800


@dataclass(slots=True)
class TokenCount:
    """How many tokens a prompt has; *estimated* where its model does not tell."""

    tokens: int
    estimated: bool = False


class ChatModel(ABC):
    """Something that answers chats: a provider with its key and model, or an engine with its weights."""

    @abstractmethod
    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        """Yield the answer piece by piece; each list holds what arrived together, so one read is one write.

        An empty list says "nothing yet, still alive". Safe from many threads at once. Closing the
        iterator ends the upstream call. A stream that ends without a finish reason raises UpstreamFailed
        of kind `stream_broken`. Raises ServiceError's subclasses, before the first list where it can.
        """

    def reply(self, request: ChatRequest) -> ChatReply:
        """The whole answer; by default the joined stream."""
        return join_deltas(self.stream(request), model=request.model or "")

    def continue_text(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        """What follows the only message of *request*, taken as the beginning of a text and not as a turn.

        A model that is asked through turns alone answers it.
        """
        return self.stream(request)

    def count(self, request: ChatRequest) -> TokenCount:
        """How many tokens the prompt of *request* has; an estimate by its length unless the model knows better."""
        said = orjson.dumps([[message.text, *(message.tool_calls or ())] for message in request.messages], default=str)
        tools = orjson.dumps(request.tools) if request.tools else b""
        images = sum(len(message.images) for message in request.messages)
        messages = TOKENS_A_MESSAGE * len(request.messages) + TOKENS_AN_IMAGE * images
        return TokenCount((len(said) + len(tools)) // BYTES_A_TOKEN + messages, estimated=True)


def join_deltas(stream: Iterator[list[ChatDelta]], *, model: str) -> ChatReply:
    """The reply that a stream of deltas adds up to."""
    reply = ChatReply(id="", model=model)
    texts: list[str] = []
    thoughts: list[str] = []
    calls: dict[int, ToolCall] = {}
    for delta in (delta for batch in stream for delta in batch):
        texts.append(delta.text)
        thoughts.append(delta.reasoning)
        reply.id = reply.id or delta.id or ""
        reply.finish_reason = delta.finish_reason or reply.finish_reason
        reply.usage = delta.usage or reply.usage
        if delta.logprobs:
            reply.logprobs = [*(reply.logprobs or ()), *delta.logprobs]
        for piece in delta.tool_calls or ():
            call = calls.setdefault(piece.index, ToolCall(id="", function=FunctionCall(name="", arguments="")))
            call.id = call.id or piece.id or ""
            call.function.name = call.function.name or piece.name or ""
            call.function.arguments += piece.arguments
    reply.text, reply.reasoning = "".join(texts), "".join(thoughts)
    reply.tool_calls = [calls[index] for index in sorted(calls)]
    return reply
