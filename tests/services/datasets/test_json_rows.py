"""Rows of JSONL and of JSON arrays, cut at every place where a block may end."""

import orjson
import pytest

from services.datasets import json_rows
from services.datasets.faults import LONGEST_ROW_BYTES, Fault
from services.errors import Invalid

ROWS = [
    {"a": 'x }, {"y": [1]', "b": "\\"},
    {"a": "two\nlines 好", "c": {"d": [{"e": "]"}, {"e": "}"}]}},
    {"a": 1.5, "b": None},
    {"messages": [{"role": "user", "content": '"'}, {"role": "assistant", "content": '\\"'}]},
]
PRETTY = orjson.dumps(ROWS, option=orjson.OPT_INDENT_2)
DENSE = orjson.dumps(ROWS)


def blocks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def elements(data: bytes, size: int = 2**20) -> list[object]:
    return [row for _, row in json_rows.elements(blocks(data, size))]


def reasons(found: list[tuple[int, object]]) -> list[tuple[int, str]]:
    return [(line, row.reason) for line, row in found if isinstance(row, Fault)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 2**20])
@pytest.mark.parametrize("data", [PRETTY, DENSE, b" \n" + DENSE + b"\r\n "])
def test_an_array_gives_its_elements(data: bytes, size: int) -> None:
    assert elements(data, size) == ROWS


@pytest.mark.parametrize("size", [1, 5, 2**20])
def test_lines_give_their_objects(size: int) -> None:
    data = b"\n".join(orjson.dumps(row) for row in ROWS)
    for text in (data, data + b"\n", data.replace(b"\n", b"\r\n") + b"\r\n\r\n"):
        assert [row for _, row in json_rows.lines(blocks(text, size))] == ROWS


def test_an_element_knows_its_line() -> None:
    data = b'[\n{"a": 1},\n\n{"a":\n2},\n {"a": 3}]'
    assert list(json_rows.elements([data])) == [(2, {"a": 1}), (4, {"a": 2}), (6, {"a": 3})]


def test_bad_lines_are_named_and_the_rest_is_read() -> None:
    data = b'{"a": 1}\n{"a": 2\n\n[]\n"text"\n{}\n{"a": "\xff"}\n{"a": NaN}\n{"a": "\\ud800"}\n{"a": 3}'
    found = list(json_rows.lines([data]))
    assert reasons(found) == [
        (2, "json_invalid"), (4, "not_object"), (5, "not_object"), (6, "not_object"),
        (7, "not_text"), (8, "json_invalid"), (9, "json_invalid"),
    ]  # fmt: skip
    assert [row for _, row in found if isinstance(row, dict)] == [{"a": 1}, {"a": 3}]


def test_bad_elements_are_named_and_the_rest_is_read() -> None:
    data = b'[{"a": 1},\n7,\n"x, ]",\n[{"a": 1}],\n{"a" 1},\n{"a": 2}]'
    found = list(json_rows.elements([data]))
    assert reasons(found) == [(2, "not_object"), (3, "not_object"), (4, "not_object"), (5, "json_invalid")]
    assert found[-1] == (6, {"a": 2})


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'[{"a": 1}', 1),
        (b'[\n{"a": 1},\n{"a": 2\n', 3),
        (b'[{"a": 1}]\n[{"a": 2}]', 2),
        (b'[{"a": 1}\n{"a": 2}]', 2),
        (b'[{"a": "x}]', 1),
        (b"[", 1),
    ],
)
@pytest.mark.parametrize("size", [1, 2**20])
def test_a_broken_array_says_where(data: bytes, line: int, size: int) -> None:
    with pytest.raises(Invalid, match=f"line {line}") as caught:
        elements(data, size)
    assert caught.value.details["reason"] == "json_invalid"


@pytest.mark.parametrize("depth", [1100, 10_000])
def test_what_is_nested_too_deep_is_a_bad_row(depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    good = b'{"a": 1}'
    assert reasons(list(json_rows.elements([b"[" + deep + b",\n" + good + b"]"]))) == [(1, "json_invalid")]
    assert reasons(list(json_rows.lines([good + b"\n" + deep + b"\n" + good]))) == [(2, "json_invalid")]


def test_brackets_without_end_are_refused_early() -> None:
    with pytest.raises(Invalid) as caught:
        list(json_rows.elements(b"[" * 2**20 for _ in range(100)))
    assert caught.value.details["reason"] == "nested_too_deep"


def test_a_row_that_is_too_long_is_skipped() -> None:
    long = b'{"a": "' + b"x" * LONGEST_ROW_BYTES + b'"}'
    found = list(json_rows.lines(blocks(b'{"a": 1}\n' + long + b'\n{"a": 2}', 2**20)))
    assert reasons(found) == [(2, "row_too_long")]
    assert found[-1] == (3, {"a": 2})
    many = b'{"a": [' + b'"xxxxxxxx",' * (LONGEST_ROW_BYTES // 10) + b"1]}"
    found = list(json_rows.elements(blocks(b'[{"a": 1},' + many + b',{"a": 2}]', 2**20)))
    assert reasons(found) == [(1, "row_too_long")]
    assert [row for _, row in found if isinstance(row, dict)] == [{"a": 1}, {"a": 2}]


def test_a_row_that_would_fill_the_memory_is_not_parsed() -> None:
    many = b'{"a": [' + b"[]," * 500_000 + b"1]}"
    assert reasons(list(json_rows.lines([many]))) == [(1, "too_many_values")]
    assert reasons(list(json_rows.elements([b"[" + many + b"]"]))) == [(1, "too_many_values")]


def test_a_string_without_end_is_refused() -> None:
    def endless() -> object:
        yield b'[{"a": "'
        for _ in range(1000):
            yield b"x" * 2**20

    with pytest.raises(Invalid):
        list(json_rows.elements(endless()))  # type: ignore[arg-type]


def test_an_empty_array_has_no_rows() -> None:
    assert elements(b" [ ] ") == []
