"""Rows of JSON: an object a line, or the elements of one array, however large; only one row is held at a time.

An array is cut into its elements by their brackets, which one regular expression finds, and orjson judges each
element. So a broken element is named by its line and the next one is read, and nesting needs no stack.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

import orjson

from services.datasets.faults import LONGEST_ROW_BYTES, NOT_OBJECT, NOT_TEXT, TOO_LONG, Fault, Record, unreadable

# Everything up to the next bracket outside of a string; a lone quote is a string that is cut off.
# Possessive, so that a string of a million escapes leaves nothing to go back to.
NEXT_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+(?:([{\[])|([}\]])|"|\Z)', re.DOTALL)
SPACE = re.compile(rb"[ \t\r\n]*")
SCALAR = re.compile(rb"[^,\]]*")
# Rows nested deeper than orjson reads are bad rows; beyond this nobody meant a row at all.
DEEPEST = 20_000
MAY_END = re.compile(rb"\}[ \t\r\n]*[,\]]")
ROWS_IN_DOUBT = 200
# Empty lists take thirty times the memory of their text: what would fill it is not parsed.
LARGE_ROW_BYTES = 2**20
MOST_BRACKETS = 100_000
TOO_MANY = Fault("too_many_values", "holds too many objects and arrays", "包含过多的对象和数组")
WHOLE_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def lines(blocks: Iterable[bytes]) -> Iterator[Record]:
    """The rows of JSONL in UTF-8, each with its line number. Empty lines are no rows."""
    for number, line in enumerate(_split(blocks), 1):
        if line is None:
            yield number, TOO_LONG
        elif (value := _parse(line)) is not None:
            yield number, value


def _split(blocks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Lines; None for one that is too long, of which nothing is kept."""
    rest, too_long = b"", False
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        if too_long and whole:
            whole[0], too_long = None, False  # type: ignore[call-overload]
        for line in whole:
            yield None if line is None or len(line) > LONGEST_ROW_BYTES else line
        if too_long or len(rest) > LONGEST_ROW_BYTES:
            rest, too_long = b"", True
    if too_long or rest:
        yield None if too_long else rest


def _parse(raw: bytes) -> dict[str, object] | Fault | None:
    """The row in *raw*, what is wrong with it, or None for white space."""
    if len(raw) > LARGE_ROW_BYTES and raw.count(b"{") + raw.count(b"[") > MOST_BRACKETS:
        return TOO_MANY
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _fault(raw, error)
    return value if type(value) is dict and value else NOT_OBJECT


def _fault(raw: bytes, error: orjson.JSONDecodeError) -> Fault | None:
    if not raw.strip():
        return None
    try:
        raw.decode()
    except UnicodeDecodeError:
        return NOT_TEXT
    told = str(error).partition(":")[0][:100]
    return Fault("json_invalid", f"is not valid JSON ({told})", f"不是有效的 JSON（{told}）")


def elements(blocks: Iterable[bytes], *, by_byte: bool = False) -> Iterator[Record]:
    """The elements of one JSON array in UTF-8, each with the line on which it begins, or the byte.

    Raises Invalid where the array itself breaks: without its brackets nobody knows what an element is.
    """
    scanner = _Scanner(iter(blocks))
    scanner.expect(b"[")
    if scanner.peek() == b"]":
        scanner.expect(b"]")
    else:
        while True:
            place = scanner.byte if by_byte else scanner.line
            yield place, scanner.row()
            if scanner.peek() != b",":
                break
            scanner.expect(b",")
            scanner.peek()
        scanner.expect(b"]")
    if scanner.peek():
        raise scanner.broken()


class _Scanner:
    """A place in the text of an array, with enough of what follows it in memory."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._buffer = b""
        self._at = 0
        self._doubt = 0
        self._gone = 0
        self.line = 1

    @property
    def byte(self) -> int:
        """How many bytes of the text lie before the scanner."""
        return self._gone + self._at

    def peek(self) -> bytes:
        """The next byte that is no white space, where the scanner stops; empty at the end."""
        while True:
            found = SPACE.match(self._buffer, self._at)
            assert found is not None
            self._go(found.end())
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def expect(self, byte: bytes) -> None:
        """Go over *byte*. Raises Invalid where something else stands."""
        if self.peek() != byte:
            raise self.broken()
        self._go(self._at + 1)

    def row(self) -> dict[str, object] | Fault:
        """The row here, which the scanner goes over, or what is wrong with it."""
        if self._doubt:
            self._doubt -= 1
        elif (found := self._flat()) is not None:
            return found
        raw = self.element()
        return TOO_LONG if raw is None or len(raw) > LONGEST_ROW_BYTES else (_parse(raw) or NOT_OBJECT)

    def _flat(self) -> dict[str, object] | None:
        """The object here if it ends with the first brace that can end one, as objects without objects inside do.

        What is JSON from here to there is the whole element, since no object is the beginning of another. This
        costs half of following the brackets; where it fails once, the next rows are likely of the same make.
        """
        found = MAY_END.search(self._buffer, self._at)
        if found is not None and found.start() - self._at < LARGE_ROW_BYTES:
            with suppress(orjson.JSONDecodeError):
                value = orjson.loads(self._buffer[self._at : found.start() + 1])
                if type(value) is dict and value:
                    self._go(found.start() + 1)
                    return value
            self._doubt = ROWS_IN_DOUBT
        return None

    def element(self) -> bytes | None:
        """The bytes of the element here, which the scanner goes over; None where it is too long to be a row."""
        if self.peek() not in (b"{", b"["):
            return self._plain()
        depth, at = _walk(self._buffer, self._at, 0)
        while depth and len(self._buffer) - self._at <= LONGEST_ROW_BYTES:
            at -= self._more_or_broken()
            depth, at = _walk(self._buffer, at, depth)
        if depth:
            self._skip(depth, at)
            return None
        raw = self._buffer[self._at : at]
        self._go(at)
        return raw

    def _plain(self) -> bytes:
        """A string, or what stands up to the next comma: no row, but it is named and the next one is read."""
        pattern = WHOLE_STRING if self.peek() == b'"' else SCALAR
        while not (found := pattern.match(self._buffer, self._at)) or found.end() == len(self._buffer):
            if len(self._buffer) - self._at > LONGEST_ROW_BYTES:
                raise self.broken()
            self._more_or_broken()
        self._go(found.end())
        return found[0]

    def _skip(self, depth: int, at: int) -> None:
        """Go over an element of any size, keeping nothing of it."""
        while depth:
            if at == self._at and len(self._buffer) - at > LONGEST_ROW_BYTES:
                # One string alone is longer than a row may be: its end is not worth looking for.
                raise self.broken()
            self._go(at)
            at -= self._more_or_broken()
            depth, at = _walk(self._buffer, at, depth)
        self._go(at)

    def _more_or_broken(self) -> int:
        """Read on; how far places in the buffer have moved to the left. Raises Invalid at the end of the text."""
        before = self._at
        if not self._more():
            raise self.broken()
        return before

    def _more(self) -> bool:
        block = next(self._blocks, b"")
        self._gone += self._at
        self._buffer = self._buffer[self._at :] + block
        self._at = 0
        return bool(block)

    def _go(self, place: int) -> None:
        self.line += self._buffer.count(b"\n", self._at, place)
        self._at = place

    def broken(self) -> Exception:
        """The error for an array that breaks here."""
        return unreadable(
            "json_invalid",
            "The JSON array breaks at line {line}: an element there does not end, or something stands beside it.",
            "JSON 数组在第 {line} 行处中断：该处元素未结束或格式有误。",
            line=self.line,
        )


def _walk(buffer: bytes, at: int, depth: int) -> tuple[int, int]:
    """Follow brackets from *at*; the depth and place where they close, or where the buffer no longer tells."""
    while True:
        found = NEXT_BRACKET.match(buffer, at)
        if found is None or found.lastindex is None:
            return depth or 1, at
        at = found.end()
        depth += 1 if found.lastindex == 1 else -1
        if depth == 0:
            return 0, at
        if depth > DEEPEST:
            raise unreadable(
                "nested_too_deep",
                "The JSON is nested deeper than {most} levels.",
                "JSON 嵌套超过 {most} 层。",
                most=DEEPEST,
            )
