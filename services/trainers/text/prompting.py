"""From a row to pieces of text, each to be learned or only read: the answers are learned, all else is read.

Conversations are worded by the base's own chat template. Texts that were made by a data set's template are
taken apart by it again, so that what it says before the last column is read and that column is learned.
"""

import re
from collections.abc import Callable
from string import Formatter
from typing import Any

from services.datasets import formats
from services.datasets.faults import Fault
from services.datasets.formats import Format, Message
from services.datasets.tokens import Tokens
from services.errors import Invalid

# A piece of a row's text, and whether it is learned.
Piece = tuple[str, bool]
Pieces = Callable[[dict[str, Any]], "list[Piece] | Fault"]

# For a base that was never taught to chat: plain words, which any tokenizer knows.
PLAIN_TEMPLATE = (
    "{% for message in messages %}### {{ message['role'] | capitalize }}:\n{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### Assistant:\n{% endif %}"
)
NO_PICTURES = Fault("picture", "shows a picture, which this model cannot see", "含有图片，该模型无法识别")
NO_TEXT = Fault("no_text", "has no text", "没有文本")
NOTHING_TO_LEARN = Fault("no_answer", "has no turn of the assistant to learn", "没有可供学习的助手回复")


def pieces(shape: str, card: dict[str, Any], tokens: Tokens) -> Pieces:
    """What takes rows of the format *shape* apart; *card* is the data set's. Raises Invalid for what is no text."""
    if shape in formats.CHAT_FORMATS:
        return lambda row: _of_conversation(row, shape, tokens)  # type: ignore[arg-type]  # One of the known words.
    if shape != "text":
        raise not_text(shape)
    asked = card.get("parameters") or {}
    if asked.get("template"):
        return _by_template(asked["template"], tokens.end_text)
    if asked.get("model"):
        return _by_markers(tokens)
    return lambda row: _whole(_text_of(row), tokens.end_text)


def prompt_template(card: dict[str, Any]) -> str | None:
    """A data set's template up to where the answer begins: how a prompt for what was trained on it is worded."""
    template = (card.get("parameters") or {}).get("template")
    if not template:
        return None
    parts = _parsed(template)
    last = max(number for number, (_, name) in enumerate(parts) if name is not None)
    worded = [_escaped(literal) + (f"{{{name}}}" if name and at < last else "") for at, (literal, name) in
              enumerate(parts[: last + 1])]  # fmt: skip
    return "".join(worded)


def _of_conversation(row: dict[str, Any], shape: Format, tokens: Tokens) -> list[Piece] | Fault:
    turns = formats.messages(row, shape)
    if isinstance(turns, Fault):
        return turns
    if any(name in row for name in formats.PICTURES) or any(_has_picture(turn) for turn in turns):
        return NO_PICTURES
    return conversation([turn | {"content": _flat(turn["content"])} for turn in turns], tokens)


def conversation(turns: list[Message], tokens: Tokens) -> list[Piece] | Fault:
    """*turns* as the chat template words them; each answer is learned up to the mark that ends it.

    A template that words earlier turns otherwise once there are later ones lets the last answer be learned alone.
    """
    full = tokens.render(turns)
    if isinstance(full, Fault):
        return full
    found: list[Piece] = []
    done = 0
    for number, turn in enumerate(turns):
        if turn["role"] != "assistant" or turn.get("weight", 1) == 0 or number == 0:
            continue
        span = _answer(turns[: number + 1], full, tokens)
        if isinstance(span, Fault):
            return span
        if span and span[0] >= done:
            found += [(full[done : span[0]], False), (full[span[0] : span[1]], True)]
            done = span[1]
    if not found:
        return NOTHING_TO_LEARN
    if full[:done].endswith(_text(turns[-1]).rstrip()) and turns[-1]["role"] == "assistant":
        # This template has no mark for the end of an answer; without one nobody learns to stop.
        found.append((tokens.end_text, True))
    return found


def _answer(turns: list[Message], full: str, tokens: Tokens) -> tuple[int, int] | Fault | None:
    """Where in *full* the last of *turns* is answered; None where *full* does not begin with them."""
    upto = tokens.render(turns)
    before = tokens.render(turns[:-1], add_generation_prompt=True)
    if isinstance(upto, Fault):
        return upto
    if isinstance(before, Fault):
        return before
    if not full.startswith(upto):
        return None
    start = _same(before, upto)
    if start < len(before):
        # What asks for an answer is worded otherwise than what stands before one: the answer itself is looked for.
        start = max(start, upto.find(_text(turns[-1]), start))
    return start, len(upto.rstrip())


def _same(one: str, other: str) -> int:
    """How many letters two texts have in common from their beginnings."""
    if other.startswith(one):
        return len(one)
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _by_template(template: str, end: str) -> Pieces:
    parts = _parsed(template)
    last = max(number for number, (_, name) in enumerate(parts) if name is not None)
    before = "".join(
        re.escape(literal) + ("(?s:.*?)" if name is not None and number < last else "")
        for number, (literal, name) in enumerate(parts[: last + 1])
    )
    pattern = re.compile(before)

    def take_apart(row: dict[str, Any]) -> list[Piece] | Fault:
        text = _text_of(row)
        found = pattern.match(text)
        if not found or not text:
            return _whole(text, end)
        return [(text[: found.end()], False), *_ended(text[found.end() :], end)]

    return take_apart


def _by_markers(tokens: Tokens) -> Pieces:
    """For texts that a chat template worded already: what it writes around an answer tells where answers are."""
    asked: list[Message] = [{"role": "user", "content": "?"}]
    spoken = "answer"
    plain = tokens.render(asked)
    prompt = tokens.render(asked, add_generation_prompt=True)
    full = tokens.render([*asked, {"role": "assistant", "content": spoken}])
    if isinstance(plain, Fault) or isinstance(prompt, Fault) or isinstance(full, Fault):
        return lambda row: _whole(_text_of(row), tokens.end_text)
    head = prompt.removeprefix(plain)
    tail = full.rpartition(spoken)[2].strip()
    if not head.strip() or not tail:
        return lambda row: _whole(_text_of(row), tokens.end_text)
    answer = re.compile(f"{re.escape(head)}(?s:(.*?{re.escape(tail)}))")

    def take_apart(row: dict[str, Any]) -> list[Piece] | Fault:
        text = _text_of(row)
        found: list[Piece] = []
        done = 0
        for match in answer.finditer(text):
            found += [(text[done : match.start(1)], False), (match[1], True)]
            done = match.end()
        return found or _whole(text, tokens.end_text)

    return take_apart


def _whole(text: str, end: str) -> list[Piece] | Fault:
    return _ended(text, end) if text.strip() else NO_TEXT


def _ended(text: str, end: str) -> list[Piece]:
    """*text* as an answer, with the mark that ends one unless it has it."""
    cut = text.rstrip()
    return [(text, True)] if end and cut.endswith(end) else [(text, True), (end, True)]


def _parsed(template: str) -> list[tuple[str, str | None]]:
    return [(literal, name) for literal, name, _, _ in Formatter().parse(template)]


def _escaped(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")


def _text_of(row: dict[str, Any]) -> str:
    value = row.get("text", row.get("content"))
    return value if isinstance(value, str) else ""


def _text(turn: Message) -> str:
    return str(turn["content"] or "")


def _flat(content: Any) -> str:
    """A turn's text, of whichever form."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _has_picture(turn: Message) -> bool:
    content = turn["content"]
    return isinstance(content, list) and any(part["type"] != "text" for part in content)


def not_text(shape: str) -> Invalid:
    """The error for rows of the format *shape*."""
    error = Invalid(
        "dataset_path",
        "The data set's rows are of the format {shape}, which no language model is trained on. Wanted are messages, "
        "conversations, instruction and output, prompt and response, or text; process it with a template.",
        "数据集的格式为 {shape}，无法用于训练语言模型。请提供 messages、conversations、instruction/output、"
        "prompt/response 或 text 列，或先用模板处理数据集。",
        reason="dataset_format",
        shape=shape,
    )
    error.details["format"] = shape
    return error
