"""Lists in pages: `?limit&after=<id>`, the oldest first."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import Session

from services.database import Base
from services.errors import Invalid

Row = TypeVar("Row", bound=Base)


class PageQuery(Protocol):
    """Which page: at most *limit* rows, those after the one with the id *after*."""

    limit: int
    after: str | None


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """*count* is how many rows there are in all; *next* the `after` of the next page, None at the end."""

    rows: list[Row]
    count: int
    next: str | None


def read_page(session: Session, table: type[Row], *where: ColumnElement[bool], query: PageQuery) -> Page[Row]:
    """The page that *query* asks for of a *table* with `id` and `created_at`.

    Raises Invalid when `after` names no row of the list.
    """
    columns = table.__table__.c
    order = (columns.created_at, columns.id)
    statement = select(table).where(*where).order_by(*order).limit(query.limit + 1)
    if query.after is not None:
        last = session.execute(select(*order).where(*where, columns.id == query.after)).first()
        if last is None:
            raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
        statement = statement.where(tuple_(*order) > tuple_(*last))
    found = list(session.scalars(statement))
    rows = found[: query.limit]
    count = session.scalar(select(func.count()).select_from(table).where(*where)) or 0
    following = str(vars(rows[-1])["id"]) if len(found) > len(rows) else None
    return Page(rows=rows, count=count, next=following)
