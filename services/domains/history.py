"""The history of pictures: what was made, and forgetting it with the files that nothing else shows."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, and_, delete, func, or_, select, true
from sqlalchemy.orm import Session

from services.contracts.accounts import Identity
from services.contracts.history import HistoryQuery, HistoryRow, HistoryView
from services.contracts.images import ImageRequest
from services.errors import Conflict, Invalid, NotFound
from services.tables.history import HistoryFileTable, HistoryTable

if TYPE_CHECKING:
    from services.assemble import Services

HISTORY_ID = re.compile(r"history-[0-9a-f]{16}")
OUTPUT = re.compile(r"/outputs/[a-z]+/([^/]+)")
# Databases bound how many values one statement may name.
URLS_A_QUESTION = 500


def list_(query: HistoryQuery, *, services: "Services", identity: Identity) -> HistoryView:
    """The history, the newest first: all of it without a limit. An admin sees everybody's.

    Raises Invalid when `after` names no row of it.
    """
    seen = _seen_by(identity)
    order = (HistoryTable.timestamp.desc(), HistoryTable.id.desc())
    with services.database.read() as session:
        count = session.scalar(select(func.count()).select_from(HistoryTable).where(seen)) or 0
        statement = select(HistoryTable).where(seen, *_after(session, query.after, identity)).order_by(*order)
        found = list(session.scalars(statement.limit(query.limit + 1 if query.limit else None)))
    rows = found[: query.limit]
    following = rows[-1].id if len(found) > len(rows) else None
    return HistoryView(history=[HistoryRow.model_validate(row) for row in rows], count=count, next=following)


def show(history_id: str, *, services: "Services", identity: Identity) -> HistoryRow:
    """One row. Raises NotFound, also for another user's."""
    with services.database.read() as session:
        return HistoryRow.model_validate(_find(session, history_id, identity))


def replay_request(history_id: str, *, services: "Services", identity: Identity) -> ImageRequest:
    """What makes the pictures of one row again: its prompt, model, seed and parameters. Raises NotFound.

    A configuration that is gone meanwhile is left out: the model's name then finds whoever answers now.
    Raises Conflict where the row does not say enough.
    """
    row = show(history_id, services=services, identity=identity)
    given = {name: value for name, value in row.parameters.items() if value is not None}
    asked = {name: given[name] for name in ImageRequest.model_fields if name in given}
    if asked.get("config_id") not in {found.id for found in services.credentials.of(identity.id)}:
        asked.pop("config_id", None)
    return _as_request(asked | {"prompt": row.prompt, "model_id": row.model})


def _as_request(asked: dict[str, Any]) -> ImageRequest:
    try:
        return ImageRequest.model_validate(asked)
    except ValidationError as error:
        wrong = {complaint["loc"][0] for complaint in error.errors()}
    if wrong <= {"width", "height"}:
        # A provider's picture may have sides that nobody may ask for; it chose them, and will again.
        return _as_request({name: value for name, value in asked.items() if name not in {"width", "height"}})
    raise Conflict("This row does not say enough to make its pictures again.", "该历史记录缺少重新生成所需的信息。")


def remove(history_id: str, *, services: "Services", identity: Identity) -> None:
    """Forget one row, and remove the files that only it shows. Raises NotFound."""
    with services.database.write() as session:
        row = _find(session, history_id, identity)
        orphans = _forget(session, HistoryTable.id == row.id)
    _remove_files(orphans, services)


def clear(*, services: "Services", owner: str) -> None:
    """Forget everything of *owner*, an admin's call too, with the files that nothing else shows."""
    with services.database.write() as session:
        orphans = _forget(session, HistoryTable.owner == owner)
    _remove_files(orphans, services)


def _forget(session: Session, which: ColumnElement[bool]) -> list[str]:
    """Delete the rows; the addresses that no row shows any more."""
    links = select(HistoryFileTable.url).join(HistoryTable, HistoryTable.id == HistoryFileTable.history_id).where(which)
    urls = list(session.scalars(links.distinct()))
    ids = select(HistoryTable.id).where(which).scalar_subquery()
    session.execute(delete(HistoryFileTable).where(HistoryFileTable.history_id.in_(ids)))
    session.execute(delete(HistoryTable).where(which))
    shown = set(_still_shown(session, urls))
    return [url for url in urls if url not in shown]


def _still_shown(session: Session, urls: list[str]) -> Iterator[str]:
    for start in range(0, len(urls), URLS_A_QUESTION):
        asked = urls[start : start + URLS_A_QUESTION]
        yield from session.scalars(select(HistoryFileTable.url).where(HistoryFileTable.url.in_(asked)))


def _remove_files(urls: list[str], services: "Services") -> None:
    """Remove the results at *urls*; what is no address of a result, or is gone already, is left alone."""
    services.files.forget(found[1] for url in urls if (found := OUTPUT.fullmatch(url)))


def _after(session: Session, after: str | None, identity: Identity) -> list[ColumnElement[bool]]:
    """What comes after the row with the id *after*, the newest first."""
    if after is None:
        return []
    try:
        last = _find(session, after, identity)
    except NotFound:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。") from None
    same = and_(HistoryTable.timestamp == last.timestamp, HistoryTable.id < last.id)
    return [or_(HistoryTable.timestamp < last.timestamp, same)]


def _seen_by(identity: Identity) -> ColumnElement[bool]:
    return true() if identity.is_admin else HistoryTable.owner == identity.id


def _find(session: Session, history_id: str, identity: Identity) -> HistoryTable:
    row = session.get(HistoryTable, history_id) if HISTORY_ID.fullmatch(history_id) else None
    if row is None or not identity.may_see(row.owner):
        raise NotFound("There is no history row '{id}'.", "历史记录'{id}'不存在。", id=history_id)
    return row
