"""Feedback: kept as people give it, and made training data of."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from services.annotations.formats import FOLDER
from services.annotations.store import AnnotationStore, storable
from services.compute.progress import SILENT, Job
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.datasets import DatasetView
from services.contracts.feedback import (
    FeedbackDatasetRequest,
    FeedbackPage,
    FeedbackQuery,
    FeedbackRequest,
    FeedbackView,
)
from services.datasets import making
from services.errors import Conflict, NotFound
from services.paging import read_page
from services.tables.feedback import FeedbackTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

ROWS_A_READ = 200


def keep(request: FeedbackRequest, *, services: "Services", identity: Identity) -> FeedbackView:
    """The feedback of *request*, kept. Raises NotFound for a row of an annotation that is not there."""
    told = request.model_dump()
    for name in ("correction", "answer", "comment", "file", "model"):
        told[name] = told[name] and storable(told[name])
    if request.annotation_id is not None and request.row is not None:
        told |= _of_row(request, services, identity)
    row = FeedbackTable(id=f"feedback-{secrets.token_hex(8)}", owner=identity.id, created_at=utc_now(), **told)
    with services.database.write() as session:
        session.add(row)
    return FeedbackView.model_validate(row)


def _of_row(request: FeedbackRequest, services: "Services", identity: Identity) -> dict[str, Any]:
    """What a row of an annotation says of its picture, where the request does not."""
    store = AnnotationStore(services.database)
    annotation = store.find(str(request.annotation_id), owner=None if identity.is_admin else identity.id)
    row = store.row(annotation.id, request.row or 0)
    return {
        "file": request.file or row.file_name or row.asked_name,
        "answer": request.answer or row.description or "",
        "model": request.model or annotation.model,
    }


def list_(query: FeedbackQuery, *, services: "Services", identity: Identity) -> FeedbackPage:
    """A page of feedback, the oldest first; an admin sees everybody's."""
    mine = [] if identity.is_admin else [FeedbackTable.owner == identity.id]
    with services.database.read() as session:
        page = read_page(session, FeedbackTable, *mine, query=query)
    shown = [FeedbackView.model_validate(row) for row in page.rows]
    return FeedbackPage(feedback=shown, count=page.count, next=page.next)


@function(lane="io", attempts=2)
def make_dataset(request: FeedbackDatasetRequest, *, services: "Services", job: Job = SILENT) -> DatasetView:
    """A data set of the job's owner's own feedback of one kind, with the pictures of it that are here.

    Raises Conflict where none of it makes a row.
    """
    pictures = _pictures(request, services, job.owner)
    rows = _rows(request, services, job.owner)
    if pictures:
        rows = (row | {"image": _packed(row["image"])} for row in rows if _packed(row["image"]) in pictures)
    first = next(rows, None)
    if first is None:
        raise Conflict(
            "There is no feedback of this kind that was corrected or liked.",
            "没有可用的此类反馈（需要有更正内容或好评）。",
            details={"reason": "no_feedback"},
        )

    def all_rows() -> Iterator[dict[str, Any]]:
        yield first
        yield from rows

    return making.from_rows(
        all_rows(),
        name=request.name,
        description=request.description,
        services=services,
        owner=job.owner,
        pictures=pictures,
        job_id=job.id,
    )


def _pictures(request: FeedbackDatasetRequest, services: "Services", owner: str) -> dict[str, Path]:
    """The pictures that the rows are about and that are still here, by what the rows call them."""
    if request.kind not in {"caption", "class"}:
        return {}
    found = {}
    for row in _rows(request, services, owner):
        with suppress(NotFound):
            found[_packed(row["image"])] = services.files.find(row["image"], owner=owner).path
    return found


def _packed(file_name: str) -> str:
    """What a picture is called in the zip."""
    return f"{FOLDER}/{file_name}"


def _rows(request: FeedbackDatasetRequest, services: "Services", owner: str) -> Iterator[dict[str, Any]]:
    for feedback in _all(request.kind, services, owner):
        liked = feedback.answer if feedback.rating == "up" and not request.corrected_only else ""
        if right := feedback.correction or liked:
            yield _row(feedback, right)


def _row(feedback: FeedbackTable, right: str) -> dict[str, Any]:
    """What was asked and what would have been right, in the shape that its kind is trained on."""
    if feedback.kind == "chat":
        return {"messages": [*feedback.messages, {"role": "assistant", "content": right}]}
    if feedback.kind == "transcript":
        return {"audio": feedback.file, "text": right}
    return {"image": feedback.file, "label" if feedback.kind == "class" else "text": right}


def _all(kind: str, services: "Services", owner: str) -> Iterator[FeedbackTable]:
    """The feedback of one kind, the oldest first, read some at a time."""
    table = FeedbackTable
    query = select(table).where(table.owner == owner, table.kind == kind).order_by(table.created_at, table.id)
    place = 0
    while True:
        with services.database.read() as session:
            found = list(session.scalars(query.limit(ROWS_A_READ).offset(place)))
        yield from found
        if len(found) < ROWS_A_READ:
            return
        place += len(found)
