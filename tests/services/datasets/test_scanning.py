"""What one reading finds, for every kind of file and every bad one of the list."""

import gzip
from pathlib import Path

import orjson
import pytest

from services.contracts.datasets import Scan
from services.datasets import scanning
from services.datasets.reading import Limits, Source
from services.errors import Invalid, UnsupportedMedia
from tests.fakes import samples

LIMITS = Limits(2**30, 2**20)
EXCEL = '问题,回答\r\n"你好，""世界""",=1+1\r\n什么是量子？,一种物理\r\n'


def scan(path: Path, data: bytes, *, skip: bool = False) -> Scan:
    path.write_bytes(data)
    return scanning.scan(path, LIMITS, on_error="skip" if skip else "fail")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_chinese_csv_from_excel_goes_in_as_it_is(path: Path) -> None:
    for encoding, named in (("gb18030", "gb18030"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16-le")):
        found = scan(path, EXCEL.encode(encoding))
        assert (found.kind, found.encoding, found.rows) == ("csv", named, 2)
        assert [column["name"] for column in found.columns] == ["问题", "回答"]
        assert found.formulas == 1
    rows = [row for _, row in Source(path, LIMITS).rows()]
    assert rows[0] == {"问题": '你好，"世界"', "回答": "=1+1"}


def test_excels_unicode_text_is_read(path: Path) -> None:
    found = scan(path, EXCEL.replace(",", "\t").encode("utf-16"))
    assert (found.kind, found.rows, len(found.columns)) == ("csv", 2, 2)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("data", "kind"), [(b'[{"text": "a"}]', "json"), (b'{"text": "a"}\n', "jsonl"), (b"text\na\n", "csv")]
)
def test_the_kind_is_read_from_the_bytes(path: Path, data: bytes, kind: str, packed: bool) -> None:
    found = scan(path, gzip.compress(data) if packed else data)
    assert (found.kind, found.rows, found.format) == (kind, 1, "text")


def test_one_broken_line_among_many_is_named(path: Path) -> None:
    lines = [b'{"text": "%d"}' % number for number in range(100_000)]
    lines[77_776] = b'{"text": "x'
    data = b"\n".join(lines)
    with pytest.raises(Invalid, match="line 77777") as caught:
        scan(path, data)
    assert caught.value.details["count"] == 1
    found = scan(path, data, skip=True)
    assert (found.rows, found.bad_rows["first"][0]["line"]) == (99_999, 77_777)


def test_a_broken_line_in_gb18030_is_named(path: Path) -> None:
    line = orjson.dumps({"text": "量子计算是一种利用量子力学原理进行信息处理的计算方式"}).decode().encode("gb18030")
    data = b"\n".join([line] * 500 + [line[:12] + b"\xff" + line[12:]] + [line] * 500)
    assert [row["line"] for row in scan(path, data, skip=True).bad_rows["first"]] == [501]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "required"),
        (b" \n\t ", "no_rows"),
        (b"[]", "no_rows"),
        (b"text\n", "no_rows"),
        (b"a,b\n" + b"1,2\n" * 50 + b"1,\0\n", "bad_rows"),
        (b'[{"a": 1}', "json_invalid"),
        (b'{"a": 1}\n{"a"', "bad_rows"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "gzip_broken"),
        (b"\x1f\x8b junk", "gzip_broken"),
        (b"PK\x03\x04 junk", "zip_broken"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "quote_not_closed"),
        (",".join(f"c{number}" for number in range(100_000)).encode(), "too_many_columns"),
        (b"".join(b'{"c%d": 1}\n' % number for number in range(3000)), "too_many_columns"),
    ],
)
def test_what_cannot_be_read_says_why(path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        scan(path, data)
    assert caught.value.details["reason"] == reason
    assert caught.value.details["field"] == "file"
    assert caught.value.say("zh") != caught.value.say("en")


@pytest.mark.parametrize(
    "data", [samples.png(8, 8, "cat"), b"%PDF-1.7 x", b"\x7fELF" + bytes(range(32)) * 9, bytes(999)]
)
def test_other_kinds_of_files_are_refused(path: Path, data: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        scan(path, data)


def test_no_good_row_is_an_error_also_when_bad_ones_are_skipped(path: Path) -> None:
    with pytest.raises(Invalid, match="line 1 is not valid JSON"):
        scan(path, b'{"a"\n{"b"\n', skip=True)


def test_columns_tell_what_they_hold(path: Path) -> None:
    rows = [{"n": number, "label": "ab"[number % 2], "text": "x" * number, "e": None} for number in range(10)]
    columns = {column.pop("name"): column for column in scan(path, orjson.dumps(rows)).columns}
    assert columns["label"]["values"] == [{"value": "a", "count": 5}, {"value": "b", "count": 5}]
    assert columns["text"]["length"] == {"min": 1, "mean": 5.0, "max": 9}
    assert (columns["n"]["type"], columns["n"]["filled"], columns["e"]) == (
        "number",
        10,
        {"type": "empty", "filled": 0},
    )
    assert "values" not in columns["n"]
