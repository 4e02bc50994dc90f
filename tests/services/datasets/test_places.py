"""Pages far back are the same as those that are read from the beginning, and are read from near them."""

import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.datasets.faults import Fault
from services.datasets.places import rows_beyond
from services.datasets.reading import Limits, Source

LIMITS = Limits(2**30, 2**20)
ROWS = [{"n": str(number), "text": f'“{number}”, "said"\nshe ' + "é" * 400} for number in range(3500)]
TEXTS = [json.dumps(row, ensure_ascii=False) for row in ROWS]
# What is no row lies between rows, and lines that hold nothing.
JSONL = "".join(text + ("\n{\n\n" if number % 7 == 0 else "\n") for number, text in enumerate(TEXTS))
ARRAY = "[" + ",".join(text + (',{}, "x" ' if number % 7 == 0 else "") for number, text in enumerate(TEXTS)) + "]"


def table(end: str = "\r\n") -> str:
    kept = io.StringIO(newline="")
    writer = csv.writer(kept, delimiter=";", lineterminator=end)
    writer.writerow(ROWS[0])
    for number, row in enumerate(ROWS):
        writer.writerows([["alone"], []] if number % 7 == 0 else [])
        writer.writerow(row.values())
    return "\n\nsep=;\n" + kept.getvalue()


FILES: dict[str, bytes] = {
    "lines": JSONL.encode(),
    "lines_marked": JSONL.encode("utf-8-sig"),
    "lines_gb18030": JSONL.encode("gb18030"),
    "lines_utf_16": JSONL.encode("utf-16"),
    "lines_of_many_blocks": "\n".join([*TEXTS[:1000], json.dumps({"n": "a" * 3 * 2**20}), *TEXTS]).encode(),
    "array": ARRAY.encode(),
    "array_marked": ARRAY.encode("utf-8-sig"),
    "array_spread": json.dumps(ROWS, indent=2).encode(),
    "array_gb18030": ARRAY.encode("gb18030"),
    "array_packed": gzip.compress(ARRAY.encode()),
    "table": table().encode(),
    "table_marked": table().encode("utf-8-sig"),
    "table_gb18030": table().encode("gb18030"),
    "table_utf_16": table().encode("utf-16"),
    "table_packed": gzip.compress(table().encode()),
    "table_of_an_old_mac": table().replace("\r\n", "\n").replace("\n", "\r").encode(),
    # Its second half has the other ends, which an old Mac's first block hides.
    "table_of_two_kinds": b"n,text\r"
    + b"".join(b"%d,%s%s" % (number, b"a" * 800, b"\r" if number < 2000 else b"\r\n") for number in range(4000)),
}


def whole(source: Source) -> list[dict[str, Any]]:
    return [row for _, row in source.rows() if not isinstance(row, Fault)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("order", [(3499, 0, 999, 1000, 1001, 2500, 3499, 3500), (0, 1500, 700, 3000, 2999)], ids=str)
def test_a_page_is_the_same_wherever_it_is_read_from(tmp_path: Path, name: str, order: tuple[int, ...]) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    source = Source(tmp_path / name, LIMITS)
    rows = whole(source)
    for after in order:
        found = rows_beyond(source, after)
        assert [row for row, _ in zip(found, range(5), strict=False)] == rows[after : after + 5]


@pytest.mark.parametrize("name", ["lines", "array", "array_marked", "table", "table_gb18030"])
def test_what_lies_far_before_a_page_is_not_read_again(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(FILES[name])
    source = Source(file, LIMITS)
    last = list(rows_beyond(source, 3400))
    told = file.stat()
    with file.open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\0" * (len(FILES[name]) // 2))
    os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert len(last) == 100
    assert list(rows_beyond(source, 3400)) == last


def test_a_file_that_has_changed_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    for rows in (ROWS, ROWS[::-1], ROWS[:3000]):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert next(rows_beyond(Source(file, LIMITS), 2500)) == rows[2500]
