"""Chats in Anthropic's shapes: the system prompt apart, blocks instead of parts, tool results first in a turn."""

from typing import Any

import orjson

from services.contracts.chat import ChatMessage, ImagePart
from services.errors import Invalid

Block = dict[str, Any]


def to_messages(messages: list[ChatMessage]) -> tuple[str, list[dict[str, Any]]]:
    """The system prompt, joined with blank lines, and the turns; the first of them is the user's."""
    system = "\n\n".join(message.text for message in messages if message.role in {"system", "developer"})
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in {"system", "developer"}:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = _results_first(turns[-1]["content"] + blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "…"}]})
    return system, turns


def to_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """OpenAI's function tools as Anthropic's."""
    functions = [tool.get("function") or {} for tool in tools]
    return [
        {
            "name": function.get("name"),
            "description": function.get("description") or "",
            "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        }
        for function in functions
    ]


def to_tool_choice(choice: str | dict[str, Any]) -> dict[str, Any]:
    """OpenAI's tool choice as Anthropic's."""
    if isinstance(choice, dict):
        return {"type": "tool", "name": (choice.get("function") or {}).get("name")}
    return {"type": {"required": "any", "none": "none"}.get(choice, "auto")}


def _blocks(message: ChatMessage) -> list[Block]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}]
    blocks: list[Block] = []
    if isinstance(message.content, list):
        blocks = [
            _image(part) if isinstance(part, ImagePart) else {"type": "text", "text": part.text}
            for part in message.content
        ]
    elif message.content:
        blocks = [{"type": "text", "text": message.content}]
    for call in message.tool_calls or []:
        arguments = _arguments(call.function.arguments)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.function.name, "input": arguments})
    return [block for block in blocks if block.get("type") != "text" or block["text"].strip()]


def _image(part: ImagePart) -> Block:
    url = part.image_url.url
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    head, _, data = url.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _results_first(blocks: list[Block]) -> list[Block]:
    return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def _arguments(text: str) -> Any:
    try:
        return orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise Invalid(
            "messages", "The arguments of a tool call are not JSON.", "工具调用的参数不是有效的 JSON。"
        ) from error
