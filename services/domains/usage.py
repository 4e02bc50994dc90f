"""What was used, summed up for its owner; an admin sees everybody's."""

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Integer, case, cast, func, select

from services.contracts.accounts import Identity
from services.contracts.usage import UsageQuery, UsageRow, UsageView
from services.tables.accounts import UserTable
from services.tables.usage import UsageTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

# Calls that ended because their client went away are no errors.
QUIET = ("ok", "client_left", "restarting", "cancelled")


def summarize(query: UsageQuery, *, services: "Services", identity: Identity) -> UsageView:
    """Calls, errors, tokens and latencies of the last days, the most used first."""
    key = {
        "model": UsageTable.model,
        "day": func.date(UsageTable.created_at),
        "user": func.coalesce(UserTable.username, UsageTable.owner),
    }[query.by]
    tokens = func.sum(UsageTable.prompt_tokens + UsageTable.completion_tokens)
    statement = (
        select(
            key,
            func.count(),
            func.sum(case((UsageTable.outcome.in_(QUIET), 0), else_=1)),
            func.sum(UsageTable.prompt_tokens),
            func.sum(UsageTable.completion_tokens),
            tokens,
            cast(func.avg(UsageTable.first_token_ms), Integer),
            cast(func.avg(UsageTable.total_ms), Integer),
        )
        .join(UserTable, UserTable.id == UsageTable.owner, isouter=True)
        .where(UsageTable.created_at > utc_now() - timedelta(days=query.days))
        .group_by(key)
        .order_by(tokens.desc(), key)
    )
    if not identity.is_admin:
        statement = statement.where(UsageTable.owner == identity.id)
    with services.database.read() as session:
        rows = [_row(*found) for found in session.execute(statement)]
    stored_mb = round(services.files.stored_bytes(owner=identity.id) / 2**20, 1)
    quota_mb = services.settings.quota_mb or None
    return UsageView(by=query.by, usage=rows, count=len(rows), stored_mb=stored_mb, quota_mb=quota_mb)


def _row(  # noqa: PLR0913, PLR0917 - the columns of the statement, in their order
    key: object, calls: int, errors: int, prompt: int, completion: int, total: int, first: int, average: int
) -> UsageRow:
    return UsageRow(
        key=str(key),
        calls=calls,
        errors=errors,
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        average_first_token_ms=first,
        average_ms=average,
    )
