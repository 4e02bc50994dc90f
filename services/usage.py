"""Writes down what was used without slowing the call: one writer a process, many rows a transaction."""

import atexit
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Table, insert
from sqlalchemy.exc import SQLAlchemyError

from services import metrics
from services.database import Database
from services.tables.usage import UsageTable
from services.threads import LateThread

FLUSH_SECONDS = 0.5
ROWS_A_FLUSH = 500
MOST_WAITING = 100_000
# Past SQLAlchemy's ORM, which takes twice as long for rows that nobody reads.
INSERT = insert(cast(Table, UsageTable.__table__)).inline()

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time in UTC, without a zone, as tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(slots=True)
class UsageEntry:
    """One model call, filled in while it runs."""

    owner: str
    request_id: str
    ability: str
    provider: str
    model: str
    outcome: str = "ok"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_token_ms: int | None = None
    total_ms: int = 0
    created_at: datetime = field(default_factory=utc_now)


class UsageWriter:
    """Takes entries from any thread and writes them in batches; `close()` writes what is left."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[UsageEntry] = deque(maxlen=MOST_WAITING)
        self._flushing = threading.Lock()
        self._writer = LateThread(self._run, "usage")

    def add(self, entry: UsageEntry) -> None:
        """Keep *entry*; it is in the table within a second."""
        self._waiting.append(entry)
        if self._writer.begin():
            atexit.register(self.close)

    def flush(self) -> None:
        """Write everything that waits."""
        with self._flushing:
            while self._waiting:
                self._write([self._waiting.popleft() for _ in range(min(len(self._waiting), ROWS_A_FLUSH))])

    def close(self) -> None:
        """Write what is left; called at the end of the process."""
        self.flush()

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            try:
                self.flush()
            except SQLAlchemyError:
                log.exception("usage could not be written; it is tried again")

    def _write(self, entries: list[UsageEntry]) -> None:
        try:
            with self._database.begin() as connection:
                connection.execute(INSERT, [_row(entry) for entry in entries])
        except SQLAlchemyError:
            # Kept for the next turn: a database that is away for a while loses nothing.
            self._waiting.extendleft(reversed(entries))
            raise
        _count(entries)


def _row(entry: UsageEntry) -> dict[str, object]:
    """*entry* by column; `dataclasses.asdict` copies deeply, which took longer than the insert."""
    return {name: getattr(entry, name) for name in UsageEntry.__slots__}


def _count(entries: list[UsageEntry]) -> None:
    for entry in entries:
        labels = (entry.provider, entry.model)
        metrics.CHAT_TOKENS.labels(*labels, "prompt").inc(entry.prompt_tokens)
        metrics.CHAT_TOKENS.labels(*labels, "completion").inc(entry.completion_tokens)
        if entry.first_token_ms is not None:
            metrics.FIRST_TOKEN.labels(entry.provider).observe(entry.first_token_ms / 1000)
