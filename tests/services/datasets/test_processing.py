"""What processing writes: rendered, filtered, deterministic, flat in memory, whole or not at all."""

import gzip
import io
import json
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.compute.progress import Job
from services.contracts.datasets import Built, ProcessRequest
from services.datasets import processing, scanning
from services.datasets.processing import picture_name
from services.datasets.reading import Limits, Source
from services.datasets.writing import draft
from services.errors import Cancelled, Invalid, Unavailable
from tests.fakes import samples
from tests.source import ROOT

LIMITS = Limits(2**34, 2**20)
PAIRS = [{"instruction": f"ask {number}", "response": f"tell {number}"} for number in range(100)]


def jsonl(path: Path, rows: Iterable[Any]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def build(path: Path, folder: Path, *, job: Job | None = None, **asked: Any) -> Built:
    """Process *path* into *folder* as *asked*."""
    folder.mkdir(exist_ok=True)
    source = Source(path, LIMITS)
    shape = scanning.scan(path, LIMITS, on_error="skip").format
    request = ProcessRequest(dataset_id="x", output_name="y", **asked)
    return processing.build(source, shape, request, folder, tokens=None, job=job or Job())  # type: ignore[arg-type]


def written(folder: Path, name: str = "train") -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def everything(folder: Path) -> list[dict[str, Any]]:
    return [row for name in ("train", "validation", "test") for row in written(folder, name)]


def test_every_row_is_in_one_part(tmp_path: Path) -> None:
    made = build(jsonl(tmp_path / "a.jsonl", PAIRS), tmp_path / "out", template="{instruction}={response}")
    assert made.splits == {"train": 80, "validation": 10, "test": 10}
    texts = {row["text"] for row in everything(tmp_path / "out")}
    assert texts == {f"ask {number}=tell {number}" for number in range(100)}
    first = [row["text"] for row in written(tmp_path / "out")]
    assert first != sorted(first, key=lambda text: int(text.rpartition(" ")[2])), "the order is seeded"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]


def test_the_same_input_is_the_same_output(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", PAIRS)
    cards = [build(path, tmp_path / name, dedupe=True).card for name in ("one", "two")]
    other = build(path, tmp_path / "three", seed=7)
    for name in ("train", "validation", "test"):
        one, two, three = ((tmp_path / run / f"{name}.jsonl").read_bytes() for run in ("one", "two", "three"))
        assert one == two != three
    assert cards[0] == cards[1]
    assert other.splits["train"] == 80


def test_the_kind_of_file_changes_nothing(tmp_path: Path) -> None:
    """The same rows as JSONL, as an array, as CSV, and each of them in gzip."""
    files = {
        "a.jsonl": b"".join(orjson.dumps(row) + b"\n" for row in PAIRS),
        "a.json": orjson.dumps(PAIRS),
        "a.csv": (
            "instruction,response\r\n" + "".join(f"{r['instruction']},{r['response']}\r\n" for r in PAIRS)
        ).encode("utf-16"),
    }
    found = set()
    for name, data in files.items():
        for packed in (data, gzip.compress(data)):
            (tmp_path / name).write_bytes(packed)
            build(tmp_path / name, tmp_path / "out")
            found.add((tmp_path / "out" / "train.jsonl").read_bytes())
            for file in (tmp_path / "out").iterdir():
                file.unlink()
    assert len(found) == 1


def test_conversations_become_messages(tmp_path: Path) -> None:
    rows = [{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}], "image": "a.png"}]
    made = build(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "out")
    assert made.card["format"] == "messages"
    assert everything(tmp_path / "out") == [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], "image": "a.png"}
    ]


def test_a_table_stays_a_table(tmp_path: Path) -> None:
    rows = [{"a": number, "b": [None, True]} for number in range(10)]
    build(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "out")
    assert sorted(everything(tmp_path / "out"), key=lambda row: row["a"]) == rows


def test_equal_rows_are_kept_unless_asked(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": f"x{number % 10}"} for number in range(100)])
    assert sum(build(path, tmp_path / "all").splits.values()) == 100
    made = build(path, tmp_path / "distinct", dedupe=True)
    assert made.splits == {"train": 8, "validation": 1, "test": 1}
    assert made.card["counts"]["dropped"]["duplicate"] == 90
    assert sorted(row["text"] for row in everything(tmp_path / "distinct")) == [f"x{number}" for number in range(10)]


def test_groups_stay_together_also_without_doubles(tmp_path: Path) -> None:
    rows = [{"text": f"t{number // 2}", "user": f"u{number % 7}"} for number in range(280)]
    build(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "out", group_by="user", dedupe=True)
    homes: dict[str, set[str]] = {}
    for name in ("train", "validation", "test"):
        for row in written(tmp_path / "out", name):
            homes.setdefault(row["user"], set()).add(name)
    assert len(homes) == 7 and all(len(parts) == 1 for parts in homes.values())


def test_lengths_are_bounded(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "好" * number} for number in range(1, 11)])
    made = build(path, tmp_path / "out", min_length=3, max_length=8)
    assert {len(row["text"]) for row in everything(tmp_path / "out")} == {3, 4, 5, 6, 7, 8}
    assert made.card["counts"] == {
        "read": 10, "written": 6, "dropped": {"bad": 0, "too_short": 2, "too_long": 2, "duplicate": 0},
    }  # fmt: skip
    assert made.card["splits"]["train"]["characters"]["max"] <= 8


def test_bad_rows_fail_by_their_lines_or_are_skipped(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}] * 5
    rows[2] = {"messages": [{"role": "king", "content": "hi"}]}
    path = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(Invalid, match="line 3") as caught:
        build(path, tmp_path / "out")
    assert caught.value.details["rows"][0]["reason"] == "format_invalid"
    assert build(path, tmp_path / "out", on_error="skip").card["counts"]["dropped"]["bad"] == 1


def test_a_row_without_the_column_of_the_template_is_bad(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"a": 1, "b": 2}, {"a": 1}])
    with pytest.raises(Invalid, match="line 2 has no column 'b'"):
        build(path, tmp_path / "out", template="{a}{b}")


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="100 too_short") as caught:
        build(jsonl(tmp_path / "a.jsonl", PAIRS), tmp_path / "out", min_length=1000)
    assert caught.value.details["reason"] == "no_rows"


def test_pictures_come_along_under_names_of_our_own(tmp_path: Path) -> None:
    picture = samples.png(8, 8, "cat")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(10):
            archive.writestr(f"cats/{number}.png", picture)
    build(tmp_path / "a.zip", tmp_path / "out")
    rows = everything(tmp_path / "out")
    assert {row["image"] for row in rows} == {f"images/{picture_name(f'cats/{number}.png')}" for number in range(10)}
    assert all((tmp_path / "out" / row["image"]).read_bytes() == picture for row in rows)
    assert {row["label"] for row in rows} == {"cats"}


def test_a_cancel_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    class Impatient(Job):
        def progress(self, fraction: float, **metrics: Any) -> None:
            if metrics["rows"] >= 50_000:
                raise Cancelled

    path = jsonl(tmp_path / "a.jsonl", ({"text": "x" * 500} for _ in range(100_000)))
    with pytest.raises(Cancelled), draft(tmp_path / "processed") as folder:
        build(path, folder, job=Impatient())
    assert list((tmp_path / "processed").iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", ({"text": "x" * 500} for _ in range(10_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(Unavailable) as caught, draft(tmp_path / "processed") as folder:
            build(path, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.details["reason"] == "disk_full"
    assert list((tmp_path / "processed").iterdir()) == []


def test_memory_stays_flat(tmp_path: Path) -> None:
    """60 MB in one line of JSON, in a process of its own: what it takes beyond its start is little."""
    with (tmp_path / "a.json").open("wb") as file:
        file.write(b"[")
        for number in range(200):
            file.write(b",".join(b'{"text":"%d %s"}' % (row, b"x" * 300) for row in range(1000)))
            file.write(b"," if number < 199 else b"]")
    program = r"""
import re, sys
from pathlib import Path
from tests.services.datasets.test_processing import build
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
made = build(Path(sys.argv[1]) / "a.json", Path(sys.argv[1]) / "out", dedupe=True)
print(peak() - before, peak(), sum(made.splits.values()))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    grown, peak, rows = map(int, ran.stdout.split())
    assert rows == 1000 and grown < 80 and peak < 250


def test_a_pipe_of_gzip_that_never_ends_is_bounded(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=9) as file:
        file.write(b'{"text": "x"}\n')
        for _ in range(64):
            file.write(b" " * 2**20)
    (tmp_path / "a.jsonl").write_bytes(bomb.getvalue())
    with pytest.raises(Invalid) as caught:
        scanning.scan(tmp_path / "a.jsonl", Limits(2**24, 2**20), on_error="skip")
    assert caught.value.details["reason"] == "gzip_bomb"
