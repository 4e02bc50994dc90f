"""Which shape of training data the rows have, found by their keys, and each shape as one conversation.

Sources: Stanford Alpaca (instruction, input, output), ShareGPT (conversations of from and value), OpenAI's
fine-tuning API (messages of role and content), and the keys that data sets of prompts commonly use.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

from services.datasets.faults import Fault

Format = Literal[
    "messages",
    "sharegpt",
    "alpaca",
    "instruction_response",
    "prompt_response",
    "text",
    "image_label",
    "image_text",
    "table",
]
Message = dict[str, Any]

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_call": "assistant",
    "developer": "system",
}
ANSWERS = ("response", "completion", "answer")
PROMPTS = ("prompt", "question")
CHAT_FORMATS: frozenset[str] = frozenset({"messages", "sharegpt", "alpaca", "instruction_response", "prompt_response"})
# Columns that stay beside a conversation.
PICTURES = ("image", "images")


def of_keys(keys: Iterable[str]) -> Format:
    """The format of a row with *keys*."""
    has = set(keys)
    picture = has & {*PICTURES}
    found: dict[Format, bool] = {
        "messages": "messages" in has,
        "sharegpt": "conversations" in has or "conversation" in has,
        "alpaca": {"instruction", "output"} <= has,
        "instruction_response": {"instruction", "response"} <= has,
        "prompt_response": any(key in has for key in PROMPTS) and any(key in has for key in ANSWERS),
        "image_label": bool(picture) and "label" in has,
        "image_text": bool(picture) and bool(has & {"text", "caption"}),
        "text": "text" in has or has == {"content"},
    }
    return next((name for name, fits in found.items() if fits), "table")


def of_rows(shapes: Counter[tuple[str, ...]]) -> Format:
    """The format of most rows, by the keys that each has."""
    counted: Counter[Format] = Counter()
    for keys, count in shapes.items():
        counted[of_keys(keys)] += count
    return counted.most_common(1)[0][0] if counted else "table"


def messages(row: dict[str, Any], shape: Format) -> list[Message] | Fault:
    """The conversation in a row of a chat format, with OpenAI's roles; what is wrong with it where there is none."""
    try:
        found = READERS[shape](row)
    except (KeyError, TypeError, AttributeError, ValueError):
        return Fault("format_invalid", f"does not have the form of {shape}", f"不符合 {shape} 格式")
    if not any(message["role"] == "assistant" for message in found):
        return Fault("no_answer", "has no turn of the assistant", "没有助手回复")
    return found


def _messages(row: dict[str, Any]) -> list[Message]:
    return [_message(turn["role"], turn.get("content"), turn) for turn in row["messages"]]


def _sharegpt(row: dict[str, Any]) -> list[Message]:
    turns = row["conversations"] if "conversations" in row else row["conversation"]
    told = [_message(turn.get("from") or turn["role"], turn.get("value", turn.get("content")), turn) for turn in turns]
    system = row.get("system")
    return [{"role": "system", "content": _text(system)}, *told] if system else told


def _message(role: str, content: Any, turn: dict[str, Any]) -> Message:
    """One turn; tool calls have no text, and pictures are parts of it."""
    message: Message = {"role": ROLES[role], "content": content}
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
            raise ValueError
    elif not isinstance(content, str) and not (content is None and turn.get("tool_calls")):
        raise ValueError
    return message | {key: turn[key] for key in ("name", "tool_calls", "tool_call_id", "weight") if key in turn}


def _alpaca(row: dict[str, Any]) -> list[Message]:
    asked = "\n".join(part for part in (_text(row["instruction"]), _text(row.get("input"))) if part)
    return _conversation(row, asked, row["output"])


def _instruction(row: dict[str, Any]) -> list[Message]:
    return _conversation(row, _text(row["instruction"]), row["response"])


def _prompt(row: dict[str, Any]) -> list[Message]:
    asked = next(row[key] for key in PROMPTS if key in row)
    answered = next(row[key] for key in ANSWERS if key in row)
    return _conversation(row, _text(asked), answered)


def _conversation(row: dict[str, Any], asked: str, answered: Any) -> list[Message]:
    """System, what came before (`history` of pairs), question and answer."""
    if not asked:
        raise ValueError
    told = [{"role": "system", "content": _text(row["system"])}] if row.get("system") else []
    for before, after in row.get("history") or []:
        told += [{"role": "user", "content": _text(before)}, {"role": "assistant", "content": _text(after)}]
    return [*told, {"role": "user", "content": asked}, {"role": "assistant", "content": _text(answered)}]


def _text(value: Any) -> str:
    """A cell as text: numbers as they are written, nothing as nothing."""
    if isinstance(value, (dict, list)):
        raise TypeError
    return "" if value is None else str(value)


READERS: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "instruction_response": _instruction,
    "prompt_response": _prompt,
}
