"""Pages of rows out of a data set's files, without parsing what comes before them where that can be helped."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from services.contracts.datasets import DatasetRow, PageRequest
from services.datasets import json_rows
from services.datasets.places import rows_beyond, without_lines
from services.datasets.reading import Limits, Nature, Source


def read(request: PageRequest, limits: Limits) -> list[DatasetRow]:
    """The rows that *request* asks for; fewer at the end."""
    nature = Nature(request.kind, request.encoding)  # type: ignore[arg-type]  # A row of ours has the known words.
    found: list[DatasetRow] = []
    after = request.after
    for file in request.files:
        wanted = request.limit - len(found)
        if file.rows is not None and after >= file.rows:
            after -= file.rows
        elif wanted:
            rows = _beyond(Source(Path(file.path), limits, nature), after, every_line=file.every_line)
            found += [DatasetRow(number=0, split=file.split, row=row) for row in islice(rows, wanted)]
            after = 0
    for number, row in enumerate(found, request.after + 1):
        row.number = number
    return found


def _beyond(source: Source, after: int, *, every_line: bool) -> Iterator[dict[str, Any]]:
    """The good rows of *source* but for the first *after*."""
    if every_line:
        return (row for _, row in json_rows.lines(without_lines(source.blocks(), after)) if isinstance(row, dict))
    return rows_beyond(source, after)
