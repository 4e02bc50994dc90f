"""From an uploaded file to training data: rendered, filtered, ordered, split and written, one row at a time."""

import hashlib
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from services.compute.progress import SILENT, Job
from services.contracts.datasets import Built, ProcessRequest
from services.datasets import formats, splitting, templates, zip_rows
from services.datasets.columns import Columns
from services.datasets.faults import Fault, Faults, refuse_faults
from services.datasets.formats import Format
from services.datasets.reading import Source
from services.datasets.tokens import Tokens
from services.datasets.writing import PARTS, RowsFile
from services.errors import Invalid

ROWS_A_LOOK = 1000
ROWS_A_BATCH = 500
# Reading is most of the work; the rest is ordering and writing.
READ_SHARE = 0.7
# A row's length goes with it through the ordering, so that each part can tell its own.
LENGTH = struct.Struct("<I")
PICTURES = "images"

Render = Callable[[dict[str, Any]], "dict[str, Any] | Fault"]


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    read: int = 0
    faults: Faults = field(default_factory=Faults)
    dropped: Counter[str] = field(default_factory=Counter)
    columns: Columns = field(default_factory=Columns)

    def told(self, written: int) -> dict[str, Any]:
        """As the card says it."""
        named = {name: self.dropped[name] for name in ("too_short", "too_long", "duplicate")}
        return {"read": self.read, "written": written, "dropped": {"bad": self.faults.count, **named}}


def build(
    source: Source, shape: Format, asked: ProcessRequest, folder: Path, *, tokens: Tokens | None, job: Job = SILENT
) -> Built:
    """Write into *folder* what *asked* makes of *source*, whose rows have the format *shape*.

    The same source and request give the same bytes. Raises Invalid for bad rows, unless they are to be
    skipped, and when no row is left.
    """
    tally = Tally()
    order = splitting.Order(folder)
    try:
        pictures = _gather(source, shape, asked, tokens, order, tally, job)
        if asked.on_error == "fail":
            refuse_faults(tally.faults, field="dataset_id")
        if asked.dedupe:
            order = _without_doubles(order, folder, tally)
        if not order.rows:
            raise _nothing_left(tally)
        files = _write(order, asked, folder, job)
    finally:
        order.close()
    if pictures:
        _copy_pictures(source, pictures, folder, job)
    unit = "tokens" if tokens else "characters"
    told = {name: file.told(unit) for name, file in files.items() if file.sizes.rows}
    return Built(
        card={
            "format": _output(shape, asked),
            "counts": tally.told(order.rows),
            "splits": told,
            "columns": _columns(tally, asked),
        },
        splits={name: file.sizes.rows for name, file in files.items()},
        bytes=sum(file.size_bytes for file in files.values()),
    )


def _gather(
    source: Source,
    shape: Format,
    asked: ProcessRequest,
    tokens: Tokens | None,
    order: splitting.Order,
    tally: Tally,
    job: Job,
) -> set[str]:
    """Read, render and filter all rows into *order*; the pictures that they show."""
    key = splitting.keys(asked.seed)
    pictures: set[str] = set()
    low, high = asked.min_length or 0, asked.max_length or 2**63
    for number, row, out, length in _measured(_rendered(source, shape, asked, tokens, tally, job), tokens):
        if not low <= length <= high:
            tally.dropped["too_short" if length < low else "too_long"] += 1
            continue
        if source.nature.kind == "zip":
            pictures.add(out["image"])
            out["image"] = f"{PICTURES}/{picture_name(out['image'])}"
        place = key(number.to_bytes(8, "big") if asked.group_by is None else orjson.dumps(row[asked.group_by]))
        data = LENGTH.pack(length) + orjson.dumps(out)
        tally.columns.add(out)
        if asked.dedupe:
            # The key of the content finds doubles; the row's own place goes with it until that is done.
            order.add(key(data), place + data)
        else:
            order.add(place, data)
    return pictures


def _rendered(
    source: Source, shape: Format, asked: ProcessRequest, tokens: Tokens | None, tally: Tally, job: Job
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """The number, the row, and what is written of it, of each good row."""
    render = _renderer(shape, asked, tokens)
    group = asked.group_by
    for number, (line, row) in enumerate(source.rows()):
        if number % ROWS_A_LOOK == 0:
            job.progress(source.fraction * READ_SHARE, rows=number)
        tally.read += 1
        out = row if isinstance(row, Fault) else render(row)
        if isinstance(out, Fault):
            tally.faults.add(line, out)
        elif group is not None and group not in row:  # type: ignore[operator]
            tally.faults.add(line, Fault("missing_column", f"has no column {group!r}", f"缺少列 {group!r}"))
        else:
            yield number, row, out  # type: ignore[misc]


def _measured(
    rows: Iterator[tuple[int, dict[str, Any], dict[str, Any]]], tokens: Tokens | None
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any], int]]:
    """*rows* with their lengths: characters, or tokens, which are counted many at once."""
    if tokens is None:
        for number, row, out in rows:
            yield number, row, out, _characters(out)
        return
    batch = []
    for one in rows:
        batch.append(one)
        if len(batch) == ROWS_A_BATCH:
            yield from _counted(batch, tokens)
            batch = []
    yield from _counted(batch, tokens)


def _counted(
    batch: list[tuple[int, dict[str, Any], dict[str, Any]]], tokens: Tokens
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any], int]]:
    counts = tokens.count([_plain_text(out) for _, _, out in batch])
    for (number, row, out), count in zip(batch, counts, strict=True):
        yield number, row, out, count


def _plain_text(out: dict[str, Any]) -> str:
    text = out.get("text")
    return text if isinstance(text, str) else orjson.dumps(out).decode()


def _characters(out: dict[str, Any]) -> int:
    """How long a row is: its text, its turns, or all its texts."""
    if "messages" in out:
        return sum(_length(message["content"]) for message in out["messages"])
    if type(text := out.get("text")) is str:
        return len(text)
    return sum(len(value) for value in out.values() if type(value) is str)


def _length(content: Any) -> int:
    if isinstance(content, list):
        return sum(len(part.get("text") or "") for part in content if isinstance(part.get("text"), str))
    return len(content or "")


def _output(shape: Format, asked: ProcessRequest) -> str:
    """The format of what is written."""
    if asked.template or (asked.model and shape in formats.CHAT_FORMATS):
        return "text"
    return "messages" if shape in formats.CHAT_FORMATS else shape


def _renderer(shape: Format, asked: ProcessRequest, tokens: Tokens | None) -> Render:
    """What makes of a row the one that is written; pictures stay beside it."""
    if asked.template:
        fill = templates.compile_(asked.template)
        return lambda row: _with_pictures(row, "text", fill(row))
    if shape not in formats.CHAT_FORMATS:
        return lambda row: row
    if tokens is None:
        return lambda row: _with_pictures(row, "messages", formats.messages(row, shape))

    def word(row: dict[str, Any]) -> dict[str, Any] | Fault:
        turns = formats.messages(row, shape)
        return turns if isinstance(turns, Fault) else _with_pictures(row, "text", tokens.render(turns))

    return word


def _with_pictures(row: dict[str, Any], name: str, value: Any) -> dict[str, Any] | Fault:
    if isinstance(value, Fault):
        return value
    return {name: value, **{key: row[key] for key in formats.PICTURES if key in row}}


def _without_doubles(order: splitting.Order, folder: Path, tally: Tally) -> splitting.Order:
    """The rows of *order*, each once, in an order of their own places."""
    single = splitting.Order(folder, name="distinct")
    for _, data in splitting.distinct(order):
        single.add(data[: splitting.KEY_BYTES], data[splitting.KEY_BYTES :])
    tally.dropped["duplicate"] = order.rows - single.rows
    order.close()
    return single


def _columns(tally: Tally, asked: ProcessRequest) -> list[dict[str, Any]]:
    """What the columns hold; with doubles removed, which were counted too, no more than their names and types."""
    told = tally.columns.told()
    return [{"name": one["name"], "type": one["type"]} for one in told] if asked.dedupe else told


def _write(order: splitting.Order, asked: ProcessRequest, folder: Path, job: Job) -> dict[str, RowsFile]:
    files = {name: RowsFile(folder / f"{name}.jsonl") for name in PARTS}
    listed = list(files.values())
    placed = splitting.parts(order, order.rows, asked.ratios, together=asked.group_by is not None)
    for number, (part, data) in enumerate(placed):
        if number % ROWS_A_LOOK == 0:
            job.progress(READ_SHARE + (0.99 - READ_SHARE) * number / order.rows, rows=number)
        listed[part].add(data[LENGTH.size :], LENGTH.unpack_from(data)[0])
    for file in listed:
        file.flush()
    return files


def picture_name(member: str) -> str:
    """What a zip's member is called among the pictures of a data set: no path that an archive chose."""
    suffix = PurePosixPath(member).suffix.lower()
    plain = suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 6 else ""
    return hashlib.blake2b(member.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() + plain


def _copy_pictures(source: Source, names: set[str], folder: Path, job: Job) -> None:
    (folder / PICTURES).mkdir()
    with zip_rows.opened(source.path) as archive:
        members = zip_rows.members(archive, source.bounds)
        for name in sorted(names):
            job.check()
            with archive.open(members[name]) as found, (folder / PICTURES / picture_name(name)).open("xb") as kept:
                shutil.copyfileobj(found, kept, 2**20)


def _nothing_left(tally: Tally) -> Invalid:
    dropped = ", ".join(f"{count} {name}" for name, count in tally.told(0)["dropped"].items() if count)
    return Invalid(
        "dataset_id",
        f"No row is left to write ({dropped or 'the data set is empty'}).",
        f"没有可写入的数据行（{dropped or '数据集为空'}）。",
        reason="no_rows",
    )
