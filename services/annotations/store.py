"""What annotations there are, and their rows; each row is written when its picture is done."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, CursorResult, delete, func, select, true, update
from sqlalchemy.exc import IntegrityError

from services.annotations.describing import Description
from services.contracts.annotations import (
    AnnotationRow,
    AnnotationRows,
    AnnotationRowsQuery,
    AnnotationUsage,
    AnnotationView,
    ReviewRequest,
)
from services.database import Database
from services.errors import Conflict, Invalid, NotFound, ServiceError
from services.tables.annotations import AnnotationRowTable, AnnotationTable, DescriptionTable
from services.usage import utc_now

ROWS_A_READ = 200


class AnnotationStore:
    """Annotations of all owners. *owner* None acts for an admin, who sees everybody's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, new: AnnotationTable, rows: list[AnnotationRowTable]) -> AnnotationTable:
        """Keep *new* and its *rows*; or, when a job goes on, what it kept the first time."""
        if found := self._get(new.id):
            return found
        try:
            with self._database.write() as session:
                session.add(new)
                session.flush()
                session.add_all(rows)
        except IntegrityError:  # The attempt before was slower to end than this one to begin.
            found = self._get(new.id)
            if found is None:
                raise
            return found
        return new

    def find(self, annotation_id: str, *, owner: str | None) -> AnnotationTable:
        """One annotation. Raises NotFound, also for another owner's."""
        row = self._get(annotation_id)
        if row is None or owner not in (None, row.owner):
            raise NotFound("There is no annotation {id}.", "标注任务 {id} 不存在。", id=repr(annotation_id[:80]))
        return row

    def view(self, row: AnnotationTable) -> AnnotationView:
        """*row* with what its rows add up to."""
        table = AnnotationRowTable
        mine = table.annotation_id == row.id
        with self._database.read() as session:
            counts = {
                **dict(session.execute(select(table.status, func.count()).where(mine).group_by(table.status)).all()),
                **dict(session.execute(select(table.review, func.count()).where(mine).group_by(table.review)).all()),
            }
        told = {name: getattr(row, name) for name in AnnotationView.model_fields if hasattr(row, name)}
        return AnnotationView(
            **told,
            succeeded=counts.get("completed", 0),
            failed=counts.get("failed", 0),
            accepted=counts.get("accepted", 0),
            rejected=counts.get("rejected", 0),
            usage=self.usage(row),
        )

    def usage(self, row: AnnotationTable) -> AnnotationUsage:
        """What the rows of an annotation took, and what that costs by its prices."""
        table = AnnotationRowTable
        sums = select(
            func.coalesce(func.sum(table.prompt_tokens), 0), func.coalesce(func.sum(table.completion_tokens), 0)
        )
        mine = table.annotation_id == row.id
        with self._database.read() as session:
            asked, answered = session.execute(sums.where(mine)).one()
            cached = session.scalar(select(func.count()).select_from(table).where(mine, table.cached == true())) or 0
        cost = None
        if row.input_price is not None or row.output_price is not None:
            cost = round((asked * (row.input_price or 0) + answered * (row.output_price or 0)) / 1e6, 8)
        return AnnotationUsage(prompt_tokens=asked, completion_tokens=answered, cached=cached, cost=cost)

    def rows(self, annotation_id: str, *where: ColumnElement[bool]) -> Iterator[AnnotationRowTable]:
        """The rows of an annotation in their order, read some at a time."""
        table, after = AnnotationRowTable, 0
        while True:
            some = select(table).where(table.annotation_id == annotation_id, table.number > after, *where)
            with self._database.read() as session:
                found = list(session.scalars(some.order_by(table.number).limit(ROWS_A_READ)))
            yield from found
            if len(found) < ROWS_A_READ:
                return
            after = found[-1].number

    def page(self, row: AnnotationTable, query: AnnotationRowsQuery) -> AnnotationRows:
        """A page of the rows of an annotation."""
        table = AnnotationRowTable
        where = [table.annotation_id == row.id]
        if query.review is not None:
            where.append(table.review == query.review)
        with self._database.read() as session:
            count = session.scalar(select(func.count()).select_from(table).where(*where)) or 0
            listed = select(table).where(*where, table.number > query.after).order_by(table.number)
            found = list(session.scalars(listed.limit(query.limit + 1)))
        shown = found[: query.limit]
        following = shown[-1].number if len(found) > len(shown) else None
        return AnnotationRows(rows=[shown_row(each, row) for each in shown], count=count, next=following)

    def row(self, annotation_id: str, number: int) -> AnnotationRowTable:
        """One row. Raises NotFound."""
        found = None
        if number < 2**31:
            with self._database.read() as session:
                found = session.get(AnnotationRowTable, (annotation_id, number))
        if found is None:
            raise NotFound("There is no row {number}.", "第 {number} 行不存在。", number=number)
        return found

    def review(self, row: AnnotationRowTable, wanted: ReviewRequest) -> AnnotationRowTable:
        """Write down what a person made of *row*. Raises Invalid without a word, Conflict for a row without a text."""
        changes: dict[str, Any] = {}
        if wanted.description is not None:
            if not wanted.description.strip():
                raise Invalid("description", "'description' is empty.", "'description' 不能为空。", reason="required")
            changes = {"description": storable(wanted.description), "edited": True}
        if wanted.review is not None:
            if wanted.review == "accepted" and not (changes or row.description):
                raise Conflict(
                    "This row has no description; write one to accept it.", "该行没有描述，请先填写描述再接受。"
                )
            changes["review"] = wanted.review
        if not changes:
            raise Invalid(
                "review",
                "Send 'description', 'review' or both.",
                "请提供 'description' 或 'review'。",
                reason="required",
            )
        self._change(row, **changes)
        return self.row(row.annotation_id, row.number)

    def complete(self, row: AnnotationRowTable, made: Description, *, key: str, owner: str, cached: bool) -> None:
        """The picture of *row* was described; what was paid for is remembered under *key*."""
        text = storable(made.text)
        with self._database.write() as session:
            session.execute(
                _row_update(row).values(
                    status="completed",
                    description=text,
                    error=None,
                    cached=cached,
                    prompt_tokens=made.prompt_tokens,
                    completion_tokens=made.completion_tokens,
                    updated_at=utc_now(),
                )
            )
            if key and not cached:
                session.merge(DescriptionTable(key=key, owner=owner, text=text, created_at=utc_now()))

    def fail(self, row: AnnotationRowTable, error: ServiceError) -> None:
        """The picture of *row* could not be described."""
        self._change(row, status="failed", error=told(error))

    def known(self, key: str) -> str | None:
        """The description that was paid for under *key*."""
        with self._database.read() as session:
            found = session.get(DescriptionTable, key)
        return found.text if found else None

    def prune(self, before: datetime) -> int:
        """Forget descriptions that were paid for before *before* (UTC); how many. Rows keep theirs."""
        old = delete(DescriptionTable).where(DescriptionTable.created_at < before)
        with self._database.write() as session:
            found: CursorResult[Any] = session.execute(old)  # type: ignore[assignment]
        return found.rowcount

    def wrote(self, annotation_id: str, output_file: str | None, rows: int) -> None:
        """The annotation's output lies in *output_file*."""
        changes = {"output_file": output_file, "output_rows": rows}
        with self._database.write() as session:
            session.execute(update(AnnotationTable).where(AnnotationTable.id == annotation_id).values(**changes))

    def _get(self, annotation_id: str) -> AnnotationTable | None:
        with self._database.read() as session:
            return session.get(AnnotationTable, annotation_id)

    def _change(self, row: AnnotationRowTable, **changes: Any) -> None:
        with self._database.write() as session:
            session.execute(_row_update(row).values(**changes, updated_at=utc_now()))


def _row_update(row: AnnotationRowTable) -> Any:
    table = AnnotationRowTable
    return update(table).where(table.annotation_id == row.annotation_id, table.number == row.number)


def description_key(owner: str, endpoint: str, model: str, prompts: tuple[str, str], *more: Any) -> str:
    """Under what a description is remembered: whose it is, who gave it, and all that it depends on."""
    return hashlib.sha256(orjson.dumps([owner, endpoint, model, *prompts, *more])).hexdigest()


def shown_row(row: AnnotationRowTable, of: AnnotationTable) -> AnnotationRow:
    """*row* as its owner sees it."""
    told = {name: getattr(row, name) for name in AnnotationRow.model_fields if hasattr(row, name)}
    return AnnotationRow(**told, demo=of.demo)


def told(error: ServiceError) -> dict[str, Any]:
    """*error* as a row keeps it: a sentence in each language, and the reason."""
    return {**error.sentences, "reason": error.details.get("reason", "")}


def storable(text: str) -> str:
    """*text* without what no database takes: NUL, and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
