"""Server-sent events from bytes, in every form that the vendors send them.

Source: HTML standard, section 9.2, and what was recorded: DashScope puts no space after the colon, its
status in a comment, and sometimes no blank line between frames. Lines end with LF, CRLF or CR; text is
UTF-8 and may be cut anywhere.
"""

from typing import Any, NamedTuple

import orjson

from services.errors import UpstreamFailed

STATUS_COMMENT = b":HTTP_STATUS/"


class Event(NamedTuple):
    """One event: its name, its data as JSON or text, and the HTTP status that DashScope hides in it."""

    name: str
    data: Any
    status: int | None


DONE = "[DONE]"
LARGEST_EVENT_BYTES = 16 * 2**20
MOST_EVENT_LINES = 1024


class EventReader:
    """Takes bytes as they come, gives the events that are whole by then."""

    def __init__(self) -> None:
        self._rest = b""
        self._started = False
        self._name = ""
        self._data: list[bytes] = []
        self._status: int | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that *chunk* completes."""
        text = self._rest + chunk
        if not self._started:
            if len(text) < 3 and b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                return []
            text, self._started = text.removeprefix(b"\xef\xbb\xbf"), True
        if b"\r" in text:
            text = self._plain_ends(text)
        *lines, self._rest = text.split(b"\n")
        if len(self._rest) > LARGEST_EVENT_BYTES:
            raise _too_large()
        if self._held:
            self._rest, self._held = self._rest + b"\r", False
        events: list[Event] = []
        for line in lines:
            self._take(line, events)
        return events

    def end(self) -> list[Event]:
        """What a stream that ended without a last blank line still holds."""
        events: list[Event] = []
        for line in self._rest.replace(b"\r", b"\n").split(b"\n"):
            self._take(line, events)
        self._rest = b""
        self._flush(events)
        return events

    _held = False

    def _plain_ends(self, text: bytes) -> bytes:
        """*text* with LF ends; a last CR waits, since its LF may come with the next bytes."""
        if text.endswith(b"\r"):
            text, self._held = text[:-1], True
        return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes, events: list[Event]) -> None:
        if line.startswith(b"data:"):
            self._take_data(line[6:] if line[5:6] == b" " else line[5:], events)
        elif not line:
            self._flush(events)
        elif line.startswith(b"event:"):
            self._end_if_whole(events)
            self._name = line[6:].strip().decode("utf-8", "replace")
        elif line.startswith(b"id:"):
            self._end_if_whole(events)
        elif line.startswith((STATUS_COMMENT, b"status:")):
            self._status = _number(line)

    def _take_data(self, value: bytes, events: list[Event]) -> None:
        self._end_if_whole(events)
        if len(self._data) >= MOST_EVENT_LINES:
            raise _too_large()
        self._data.append(value)

    def _end_if_whole(self, events: list[Event]) -> None:
        """A field after complete data begins the next frame, where the blank line between them is missing."""
        if self._data and _is_whole(b"\n".join(self._data)):
            self._flush(events)

    def _flush(self, events: list[Event]) -> None:
        if self._data:
            text = b"\n".join(self._data)
            if text.strip():
                events.append(Event(self._name, _value(text), self._status))
        self._name, self._data, self._status = "", [], None


def _value(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.decode("utf-8", "replace").strip()


def _is_whole(text: bytes) -> bool:
    if text.strip() == b"[DONE]":
        return True
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _too_large() -> UpstreamFailed:
    return UpstreamFailed("The provider's event is too large.", "上游返回的事件过大。", kind="too_large")


def _number(line: bytes) -> int | None:
    digits = line.rpartition(b"/")[2] if line.startswith(STATUS_COMMENT) else line[7:]
    return int(digits) if digits.strip().isdigit() else None
