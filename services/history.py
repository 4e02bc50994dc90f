"""Writing the history of pictures; any domain that makes some may do it. `domains/history.py` reads and removes."""

import secrets

from sqlalchemy import select

from services.contracts.history import HistoryEntry, HistoryRow
from services.database import Database
from services.tables.history import HistoryFileTable, HistoryTable
from services.usage import utc_now


def record(entry: HistoryEntry, *, database: Database) -> HistoryRow:
    """The row of *entry*; a job that is run again finds the row of its first run, with its new pictures."""
    with database.write() as session:
        row = None
        if entry.job_id:
            row = session.scalar(select(HistoryTable).where(HistoryTable.job_id == entry.job_id))
        if row is None:
            row = HistoryTable(id=f"history-{secrets.token_hex(8)}", owner=entry.owner, job_id=entry.job_id)
            session.add(row)
        row.prompt = _storable(entry.prompt)
        row.image_urls = list(dict.fromkeys(entry.image_urls))
        row.model, row.provider, row.parameters = entry.model, entry.provider, entry.parameters
        row.timestamp = utc_now()
        session.flush()
        for url in row.image_urls:
            session.merge(HistoryFileTable(history_id=row.id, url=url))
    return HistoryRow.model_validate(row)


def _storable(text: str) -> str:
    """*text* without NUL, which PostgreSQL does not take."""
    return text.replace("\0", "")
