"""Rows of CSV, as Excel and others write it: the separator is found, quoted fields may hold lines.

Cells stay the text that they are: a formula is text, and nothing calculates it.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator

from services.datasets.encodings import MARKER
from services.datasets.faults import HAS_NUL, LONGEST_ROW_BYTES, MOST_COLUMNS, NOT_TEXT, Fault, Record, unreadable

SEPARATORS = ",\t;|"
HINT = "sep="


def rows(texts: Iterable[str]) -> Iterator[Record]:
    """The rows of a CSV text, each with the line on which it begins; the first line names the columns.

    Raises Invalid for a header that names no columns or too many, and for a quote that never closes: what
    follows it is then no row, but the inside of a field.
    """
    lines = _Lines(texts)
    separator, header = _header(lines)
    # The module's one bound on a field, the same for every reading.
    csv.field_size_limit(LONGEST_ROW_BYTES)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    width = len(header)
    while True:
        began = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield began, _syntax(error, began, lines)
            continue
        if len(cells) != width:
            if cells:
                yield began, _wrong_width(len(cells), width)
        elif lines.suspect and (fault := _unclean(cells)):
            yield began, fault
        else:
            yield began, dict(zip(header, cells, strict=True))


class _Lines:
    """The lines of a text with their ends. `suspect` once something came that is no text of a table."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.number = 0
        self.suspect = False
        self._lines = self._split(texts)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line

    def _split(self, texts: Iterable[str]) -> Iterator[str]:
        rest, old_mac = "", None
        for text in texts:
            self.suspect = self.suspect or MARKER in text or "\0" in text
            if old_mac is None:
                old_mac = "\r" in text and "\n" not in text
            *whole, rest = (rest + (text.replace("\r", "\n") if old_mac else text)).split("\n")
            for line in whole:
                yield line + "\n"
            if len(rest) > LONGEST_ROW_BYTES:
                raise self._too_long()
        if rest:
            yield rest

    def _too_long(self) -> Exception:
        return unreadable(
            "row_too_long",
            "Line {line} of the CSV is longer than {most} MiB.",
            "CSV 第 {line} 行超过 {most} MiB。",
            line=self.number + 1,
            most=LONGEST_ROW_BYTES // 2**20,
        )


def _header(lines: _Lines) -> tuple[str, list[str]]:
    """The separator and the names of the columns."""
    first = next((line for line in lines if line.strip()), "")
    if first.lower().startswith(HINT) and len(first.rstrip("\r\n")) == len(HINT) + 1:
        separator = first[len(HINT)]
        first = next(lines, "")
    else:
        separator = max(SEPARATORS, key=first.count)
    try:
        names = next(csv.reader([first], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise _bad_header("is no line of CSV", "不是有效的 CSV 行") from error
    if not any(name.strip() for name in names):
        raise _bad_header("names no columns", "没有列名")
    return separator, _checked(names)


def _checked(names: list[str]) -> list[str]:
    """The names, clean and each for one column; a column without a name is called by its place."""
    if len(names) > MOST_COLUMNS:
        raise too_many_columns(len(names))
    if any(MARKER in name or "\0" in name for name in names):
        raise _bad_header("is no text", "不是文本")
    named = [name.strip() or f"column_{place}" for place, name in enumerate(names, 1)]
    twice = [name for name, count in Counter(named).items() if count > 1]
    if twice:
        raise _bad_header(f"names {twice[0][:80]!r} twice", f"的列名 {twice[0][:80]!r} 重复")
    return named


def _syntax(error: csv.Error, began: int, lines: _Lines) -> Fault:
    """What is wrong with a row of one line. Raises Invalid for a quote that swallowed the lines after it."""
    if lines.number > began:
        raise unreadable(
            "quote_not_closed",
            "A quote that opens on line {line} does not close where its field ends.",
            "第 {line} 行的引号未正确闭合。",
            line=began,
        ) from error
    return Fault("csv_invalid", f"is no line of CSV ({error})", f"不是有效的 CSV 行（{error}）")


def _wrong_width(found: int, wanted: int) -> Fault:
    return Fault(
        "wrong_width", f"has {found} cells under {wanted} columns", f"有 {found} 个单元格，而表头有 {wanted} 列"
    )


def _unclean(cells: list[str]) -> Fault | None:
    if any("\0" in cell for cell in cells):
        return HAS_NUL
    return NOT_TEXT if any(MARKER in cell for cell in cells) else None


def _bad_header(en: str, zh: str) -> Exception:
    return unreadable("header_invalid", f"The first line of the CSV {en}.", f"CSV 首行{zh}。")


def too_many_columns(count: int) -> Exception:
    """The error for more columns than a data set may have."""
    return unreadable(
        "too_many_columns",
        "There are {count} columns; a data set has at most {most}.",
        "共有 {count} 列，数据集最多 {most} 列。",
        count=count,
        most=MOST_COLUMNS,
    )
