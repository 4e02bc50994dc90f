"""When each API key was last used, to the minute, written beside the requests and never on their path."""

import logging
import threading
import time
from datetime import timedelta

from sqlalchemy import or_, update
from sqlalchemy.exc import SQLAlchemyError

from services.database import Database
from services.tables.accounts import KeyTable
from services.usage import utc_now

EVERY_SECONDS = 60

log = logging.getLogger(__name__)


class KeyUses:
    """Takes notes from any thread; at most one write a minute and key leaves this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, float] = {}
        self._writing: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def note(self, key_id: str) -> None:
        """The key was used now; returns at once and never fails."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -EVERY_SECONDS) < EVERY_SECONDS:
            return
        with self._lock:
            if now - self._noted.get(key_id, -EVERY_SECONDS) < EVERY_SECONDS:
                return
            self._noted[key_id] = now
            thread = threading.Thread(target=self._write, args=(key_id,), name="key-use", daemon=True)
            self._writing.add(thread)
        thread.start()

    def close(self) -> None:
        """Wait for the notes that are being written."""
        with self._lock:
            writing = list(self._writing)
        for thread in writing:
            thread.join(timeout=5)

    def _write(self, key_id: str) -> None:
        now = utc_now()
        stale = or_(KeyTable.last_used_at.is_(None), KeyTable.last_used_at < now - timedelta(seconds=EVERY_SECONDS / 2))
        try:
            with self._database.write() as session:
                session.execute(update(KeyTable).where(KeyTable.id == key_id, stale).values(last_used_at=now))
        except SQLAlchemyError:
            log.warning("the last use of an API key could not be written", exc_info=True)
        finally:
            with self._lock:
                self._writing.discard(threading.current_thread())
