"""Chats and completions as OpenAI's clients ask for them."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from services.contracts.chat import ChatMessage, ChatRequest
from services.contracts.texts import PlainText

MOST_STOPS = 4
MOST_PROMPTS = 32


def _refuse(given: Any) -> Any:
    """What is not supported may be sent as nothing."""
    if given:
        raise PydanticCustomError("unsupported", "it is not supported")
    return given


OneChoice = Annotated[int, Field(ge=1, le=1, description="One answer a request")]


class StreamOptions(BaseModel):
    """What a stream tells beside its pieces."""

    include_usage: bool = False


class OpenAIChatRequest(ChatRequest):
    """A chat in OpenAI's words; unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "smollm2-135m-instruct",
                "messages": [{"role": "user", "content": "Hi"}],
                "max_completion_tokens": 64,
                "stream": False,
            }
        }
    )

    max_completion_tokens: int | None = Field(None, ge=1, description="Most tokens of the answer; before `max_tokens`")
    n: OneChoice | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _has_few_stops(self) -> Self:
        refuse_many_stops(self.stop)
        return self

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def plain(self) -> ChatRequest:
        """The same as the chat domain takes it."""
        asked = {name: getattr(self, name) for name in ChatRequest.model_fields}
        if self.max_completion_tokens is not None:
            asked["max_tokens"] = self.max_completion_tokens
        return ChatRequest.model_construct(**asked)


class OpenAICompletionRequest(BaseModel):
    """The beginning of a text that is to be gone on with; unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"model": "smollm2-135m-instruct", "prompt": "Once upon a time", "max_tokens": 16}
        }
    )

    model: str | None = Field(None, max_length=256)
    prompt: PlainText | list[PlainText] = Field(description="A text, or several; tokens are not taken")
    max_tokens: int | None = Field(16, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool | None = None
    n: OneChoice | None = None
    best_of: OneChoice | None = None
    suffix: Annotated[str | None, AfterValidator(_refuse)] = Field(None, description="Not supported")
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _has_few_stops_and_prompts(self) -> Self:
        refuse_many_stops(self.stop)
        if not self.prompts or not all(self.prompts):
            raise PydanticCustomError("missing", "a prompt is wanted", {"field": "prompt"})
        if len(self.prompts) > MOST_PROMPTS:
            raise PydanticCustomError("too_long", "too many", {"field": "prompt", "max_length": MOST_PROMPTS})
        return self

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def chats(self) -> list[ChatRequest]:
        """One chat a prompt, whose only message the text is."""
        same: dict[str, Any] = {name: getattr(self, name) for name in SAME}
        if self.logprobs is not None:
            same |= {"logprobs": True, "top_logprobs": self.logprobs}
        return [ChatRequest(messages=[ChatMessage(role="user", content=text)], **same) for text in self.prompts]


# What means the same in a chat.
SAME = (
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
)


def refuse_many_stops(stop: str | list[str] | None) -> None:
    """Raise what tells of more stops than OpenAI takes."""
    if isinstance(stop, list) and len(stop) > MOST_STOPS:
        raise PydanticCustomError("too_long", "too many stops", {"field": "stop", "max_length": MOST_STOPS})
