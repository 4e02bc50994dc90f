"""Chats as Anthropic's clients ask for them, and the same as the chat domain takes them.

Source: platform.claude.com/docs, the Messages API of 2026.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from services.contracts.chat import (
    ChatMessage,
    ChatRequest,
    FunctionCall,
    ImagePart,
    ImageUrl,
    TextPart,
    ToolCall,
)
from services.contracts.texts import PlainText


class TextBlock(BaseModel):
    type: Literal["text"]
    text: PlainText


class ImageData(BaseModel):
    """A picture in the request itself."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str = Field(min_length=1)

    @property
    def address(self) -> str:
        return f"data:{self.media_type};base64,{self.data}"


class ImageAddress(BaseModel):
    """A picture elsewhere."""

    type: Literal["url"]
    url: str = Field(min_length=1)

    @property
    def address(self) -> str:
        return self.url


class ImageBlock(BaseModel):
    """A picture, wherever it lies."""

    type: Literal["image"]
    source: Annotated[ImageData | ImageAddress, Field(discriminator="type")]

    @property
    def part(self) -> ImagePart:
        return ImagePart(type="image_url", image_url=ImageUrl(url=self.source.address))


class ToolUseBlock(BaseModel):
    """A call that the assistant made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any] = {}


class ToolResultBlock(BaseModel):
    """What a call came to."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: PlainText | list[Annotated[TextBlock | ImageBlock, Field(discriminator="type")]] = ""
    is_error: bool = False


class ThoughtBlock(BaseModel):
    """What an assistant thought is not told to another model."""

    type: Literal["thinking", "redacted_thinking"]


Block = Annotated[TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThoughtBlock, Field(discriminator="type")]


class AnthropicTurn(BaseModel):
    """One turn: a text, or blocks."""

    role: Literal["user", "assistant", "system"]
    content: PlainText | list[Block]


class AnthropicTool(BaseModel):
    """A function that the model may call."""

    name: str = Field(min_length=1, max_length=128)
    description: str = ""
    input_schema: dict[str, Any]


class AnthropicToolChoice(BaseModel):
    """Whether a tool is to be called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class AnthropicPrompt(BaseModel):
    """A prompt in Anthropic's words; unknown fields are ignored."""

    model: str | None = Field(None, max_length=256, description="A catalog id; empty takes the default")
    messages: list[AnthropicTurn] = Field(min_length=1)
    system: PlainText | list[TextBlock] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicToolChoice | None = None

    def plain(self, **more: Any) -> ChatRequest:
        """The same as the chat domain takes it."""
        choice = self.tool_choice if self.tools else None
        return ChatRequest(
            model=self.model,
            messages=[*_system(self.system), *(message for turn in self.messages for message in _turn(turn))],
            tools=[_tool(tool) for tool in self.tools] if self.tools else None,
            tool_choice=_choice(choice) if choice else None,
            parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
            **more,
        )


class AnthropicRequest(AnthropicPrompt):
    """What is asked of a chat model in Anthropic's words."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "smollm2-135m-instruct",
                "max_tokens": 64,
                "system": "Be brief.",
                "messages": [{"role": "user", "content": "Hi"}],
            }
        }
    )

    max_tokens: int = Field(ge=1, description="Most tokens of the answer")
    stop_sequences: list[str] | None = None
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = None

    def plain(self, **more: Any) -> ChatRequest:
        return super().plain(
            max_tokens=self.max_tokens,
            stop=self.stop_sequences or None,
            temperature=self.temperature,
            top_p=self.top_p,
            **more,
        )


def _system(told: str | list[TextBlock] | None) -> list[ChatMessage]:
    text = told if isinstance(told, str) else "\n\n".join(block.text for block in told or ())
    return [ChatMessage(role="system", content=text)] if text else []


def _turn(turn: AnthropicTurn) -> list[ChatMessage]:
    """A turn as messages: what tools answered comes first, each a message of its own."""
    if isinstance(turn.content, str):
        return [ChatMessage(role=turn.role, content=turn.content)]
    results = [block for block in turn.content if isinstance(block, ToolResultBlock)]
    answers = [ChatMessage(role="tool", tool_call_id=block.tool_use_id, content=_text(block)) for block in results]
    parts: list[TextPart | ImagePart] = [part for block in results for part in _pictures(block)]
    calls = [_call(block) for block in turn.content if isinstance(block, ToolUseBlock)]
    for block in turn.content:
        if isinstance(block, TextBlock):
            parts.append(TextPart(type="text", text=block.text))
        elif isinstance(block, ImageBlock):
            parts.append(block.part)
    if not parts and not calls:
        return answers
    content = parts if any(isinstance(part, ImagePart) for part in parts) else _joined(parts)
    return [*answers, ChatMessage(role=turn.role, content=content, tool_calls=calls or None)]


def _joined(parts: list[TextPart | ImagePart]) -> str | None:
    return "\n\n".join(part.text for part in parts if isinstance(part, TextPart)) or None


def _text(result: ToolResultBlock) -> str:
    if isinstance(result.content, str):
        return result.content
    return "\n\n".join(block.text for block in result.content if isinstance(block, TextBlock))


def _pictures(result: ToolResultBlock) -> list[ImagePart]:
    """Pictures of a tool's answer, which go into the user's turn: OpenAI's tools answer texts alone."""
    if isinstance(result.content, str):
        return []
    return [block.part for block in result.content if isinstance(block, ImageBlock)]


def _call(block: ToolUseBlock) -> ToolCall:
    return ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=orjson.dumps(block.input).decode()))


def _tool(tool: AnthropicTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


def _choice(choice: AnthropicToolChoice) -> str | dict[str, Any]:
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return {"any": "required"}.get(choice.type, choice.type)
