"""The pieces of OpenAI's format that OpenAI's and Ark's fakes share."""

from typing import Any

from tests.fakes.samples import ToolCall, tool_calls

CREATED = 1790000000


def offered_calls(body: dict[str, Any], behaviour: str, messages: list[Any] | None = None) -> list[ToolCall]:
    """The calls the model makes of the offered tools: none after a tool's result or with `none`."""
    messages = body.get("messages") if messages is None else messages
    last = (messages or [{}])[-1]
    if not body.get("tools") or body.get("tool_choice") == "none" or last.get("role") == "tool":
        return []
    names = [tool["function"]["name"] for tool in body["tools"]]
    return tool_calls(names, behaviour == "parallel-tools")


def call_object(call: ToolCall, **more: Any) -> dict[str, Any]:
    """A whole tool call of an assistant message."""
    function = {"name": call.name, "arguments": call.arguments}
    return {**more, "id": call.id, "type": "function", "function": function}


def wants_usage(body: dict[str, Any]) -> bool:
    """Whether the stream shall end with a usage chunk."""
    return bool((body.get("stream_options") or {}).get("include_usage"))
