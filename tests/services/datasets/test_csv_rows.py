"""Rows of CSV, as Excel and as nobody should write it."""

import pytest

from services.datasets import csv_rows
from services.datasets.encodings import MARKER
from services.datasets.faults import LONGEST_ROW_BYTES, Fault, Record
from services.errors import Invalid


def rows(text: str, size: int = 2**20) -> list[Record]:
    return list(csv_rows.rows(text[at : at + size] for at in range(0, len(text), size)))


def reason(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        rows(text)
    return str(caught.value.details["reason"])


@pytest.mark.parametrize("size", [1, 3, 2**20])
def test_quoted_cells_hold_anything(size: int) -> None:
    text = 'a,b\r\n"x, ""y""","two\nlines"\r\n\r\n1,\r\n'
    assert rows(text, size) == [(2, {"a": 'x, "y"', "b": "two\nlines"}), (5, {"a": "1", "b": ""})]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator: str) -> None:
    assert rows(f"a{separator}b\n1{separator}2\n") == [(2, {"a": "1", "b": "2"})]


def test_excels_hint_is_taken() -> None:
    assert rows("sep=:\na:b\n1:2\n")[0][1] == {"a": "1", "b": "2"}


def test_lines_may_end_as_on_old_macs() -> None:
    assert [row for _, row in rows("a,b\r1,2\r3,4\r")] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_formula_stays_text() -> None:
    cell = '=HYPERLINK("http://x","y")'
    assert rows('a,b\n"' + cell.replace('"', '""') + '",@SUM(A1)\n')[0][1] == {"a": cell, "b": "@SUM(A1)"}


def test_bad_rows_are_named_and_the_rest_is_read() -> None:
    found = rows(f'a,b\n1\n1,2,3\n"x"y,2\n1,\0\n1,{MARKER}\n3,4\n')
    faults = [(line, row.reason) for line, row in found if isinstance(row, Fault)]
    assert faults == [(2, "wrong_width"), (3, "wrong_width"), (4, "csv_invalid"), (5, "nul"), (6, "not_text")]
    assert found[-1] == (7, {"a": "3", "b": "4"})


@pytest.mark.parametrize("rest", ["1,2\n" * 100, "1,2\n" * (LONGEST_ROW_BYTES // 3)])
def test_a_quote_that_never_closes_names_its_line(rest: str) -> None:
    with pytest.raises(Invalid, match="line 3") as caught:
        rows('a,b\n1,2\n3,"four\n' + rest)
    assert caught.value.details["reason"] == "quote_not_closed"


def test_too_many_columns_are_refused() -> None:
    assert reason(",".join(f"c{number}" for number in range(100_000)) + "\n") == "too_many_columns"


@pytest.mark.parametrize("head", ["a,a\n", "", "\n\n", ",,\n", '"a\n', f"a,{MARKER}\n", "a,\0\n"])
def test_a_header_that_names_no_columns_is_refused(head: str) -> None:
    assert reason(head + "1,2\n" if head.strip() else head) in {"header_invalid", "quote_not_closed"}


def test_columns_without_a_name_are_called_by_their_place() -> None:
    assert rows("a,,\n1,2,3\n")[0][1] == {"a": "1", "column_2": "2", "column_3": "3"}


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        list(csv_rows.rows("a" * 2**20 for _ in range(1000)))
    assert caught.value.details["reason"] == "row_too_long"
