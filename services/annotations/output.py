"""What an annotation writes: its rows as JSONL, with the pictures beside them in a zip, or as a data set."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.annotations import formats
from services.annotations.formats import Example
from services.annotations.store import AnnotationStore
from services.contracts.annotations import DatasetFormat, Format
from services.errors import NotFound
from services.tables.annotations import AnnotationRowTable, AnnotationTable

if TYPE_CHECKING:
    from services.assemble import Services

ROWS_NAME = "annotations.jsonl"


def write(annotation: AnnotationTable, *, services: "Services", job_id: str) -> str | None:
    """Write the described rows of *annotation* as JSONL, in place of what was written before; its name.

    None, and no file, where nothing was described. Raises Unavailable when the disk is full.
    """
    store = AnnotationStore(services.database)
    before = [file.name for file in services.files.of_job(job_id)] if job_id else []
    done = store.rows(annotation.id, AnnotationRowTable.status == "completed")
    first = next(done, None)
    if first is None:
        return None
    with services.files.batch(owner=annotation.owner, job_id=job_id) as batch:
        draft = batch.draft("datasets", ".jsonl")
        with draft.part.open("xb") as file:
            count = 0
            for row in chain([first], done):
                count += 1
                line = formats.row(example(row, annotation), _shape(annotation))
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    store.wrote(annotation.id, draft.name, count)
    services.files.forget(before)
    return draft.name


def members(annotation: AnnotationTable, output: Path, *, services: "Services") -> Iterator[tuple[str, Path]]:
    """The files of a zip: the rows, and those of their pictures that are still here."""
    yield ROWS_NAME, output
    seen = set()
    for row in AnnotationStore(services.database).rows(annotation.id, AnnotationRowTable.status == "completed"):
        if row.file_name in seen:
            continue
        seen.add(row.file_name)
        with suppress(NotFound):
            yield f"{formats.FOLDER}/{row.file_name}", services.files.find(row.file_name).path


def example(row: AnnotationRowTable, annotation: AnnotationTable) -> Example:
    """*row* as an example of training data."""
    return Example(
        file_name=row.file_name,
        system_prompt=annotation.system_prompt,
        prompt=annotation.prompt,
        description=row.description or "",
        demo=annotation.demo,
    )


def accepted(annotation: AnnotationTable, shape: DatasetFormat, *, services: "Services") -> Iterator[dict[str, Any]]:
    """The rows that people accepted, as training data; `image` names the picture."""
    fits = AnnotationRowTable.review == "accepted"
    for row in AnnotationStore(services.database).rows(annotation.id, fits):
        made = example(row, annotation)
        yield {"image": made.image, **formats.row(made, shape)}


def _shape(annotation: AnnotationTable) -> Format:
    return annotation.format  # type: ignore[return-value]  # The column holds what the request was checked for.
