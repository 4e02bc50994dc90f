"""Text of any usual encoding as UTF-8: found by itself, and what is no text is marked and not guessed at.

Excel in China writes GB18030 (or its subset GBK) and, as "Unicode text", UTF-16; a broken byte in the middle
of a UTF-8 file spoils its own row and not the rest.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Literal

Encoding = Literal["utf-8", "gb18030", "utf-16-le", "utf-16-be"]

BYTE_ORDER_MARK = codecs.BOM_UTF8
MARKS: tuple[tuple[bytes, Encoding], ...] = (
    (BYTE_ORDER_MARK, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WINDOW_BYTES = 64 * 1024
NOT_ASCII = re.compile(rb"[\x80-\xff]")
# A lone surrogate: what was no text. JSON's readers refuse it, so a marked row is found again wherever it is read.
MARKER = "\udcff"


def detect(blocks: Iterable[bytes]) -> Encoding:
    """The encoding of a text, from its mark, its NULs, or the first bytes that are not ASCII."""
    window = b""
    for number, block in enumerate(blocks):
        if number == 0 and (found := _by_mark(block) or _by_nuls(block)):
            return found
        if not window and block.isascii():
            continue
        start = 0 if window else NOT_ASCII.search(block).start()  # type: ignore[union-attr]
        window += block[start : start + WINDOW_BYTES]
        if len(window) >= WINDOW_BYTES:
            break
    return _by_characters(window[:WINDOW_BYTES])


def without_mark(blocks: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    """*blocks* without a byte order mark before them."""
    mark = next(mark for mark, name in (*MARKS, (b"", encoding)) if name == encoding)
    first = True
    for block in blocks:
        yield block.removeprefix(mark) if first else block
        first = False


def decoded(blocks: Iterable[bytes], encoding: Encoding) -> Iterator[str]:
    """*blocks* as text; bytes that are none become MARKER."""
    decoder = codecs.getincrementaldecoder(encoding)("mark")
    for block in without_mark(blocks, encoding):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def as_utf_8(blocks: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    """*blocks* as UTF-8; UTF-8 itself goes through untouched, broken or not."""
    if encoding == "utf-8":
        return without_mark(blocks, encoding)
    return (text.encode("utf-8", "surrogatepass") for text in decoded(blocks, encoding))


def _mark_bad(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return MARKER, error.end


codecs.register_error("mark", _mark_bad)


def _by_mark(block: bytes) -> Encoding | None:
    return next((name for mark, name in MARKS if block.startswith(mark)), None)


def _by_nuls(block: bytes) -> Encoding | None:
    """UTF-16 without a mark: line ends have a NUL on one side, and no other text has NULs."""
    head = block[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < len(head) * 0.01 or min(even, odd) * 4 > max(even, odd):
        return None
    line_end, name = (b"\n\0", "utf-16-le") if odd > even else (b"\0\n", "utf-16-be")
    # Bytes of other characters may be those of line ends; in other files with NULs hardly one stands beside them.
    ends, pairs = head.count(b"\n"), head.count(line_end)
    known = pairs * 2 > ends if ends else max(even, odd) > len(head) * 0.2
    return name if known else None  # type: ignore[return-value]


def _by_characters(window: bytes) -> Encoding:
    """UTF-8 unless much of it is none and the text is whole as GB18030."""
    good, bad = _counts(window, "utf-8")
    if bad <= good * 0.1:
        return "utf-8"
    good, bad = _counts(window, "gb18030")
    return "gb18030" if bad <= good * 0.01 else "utf-8"


def _counts(window: bytes, encoding: str) -> tuple[int, int]:
    """How many characters beyond ASCII *window* holds, and how many places that are no text; a cut end is none."""
    text = codecs.getincrementaldecoder(encoding)("mark").decode(window)
    bad = text.count(MARKER)
    return sum(character > "\x7f" for character in text) - bad, bad
