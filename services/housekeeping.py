"""What is old goes: results, uploads and ended jobs after KEEP_DAYS, halves of files after a day."""

import logging
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from services.annotations.store import AnnotationStore
from services.domains import user_files
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

EVERY_SECONDS = 3600.0
# How long before its job an upload may have come.
UPLOADED_BEFORE = timedelta(days=1)

log = logging.getLogger(__name__)


def tidy(services: "Services") -> dict[str, int]:
    """Remove what is too old; how many of each.

    Files are left alone that are no older than the oldest job that has not ended: it may need them.
    """
    removed = {"halves": services.files.sweep(), "expired": user_files.prune(services=services)}
    if days := services.settings.keep_days:
        before = utc_now() - timedelta(days=days)
        removed["jobs"] = services.jobs.prune(days)
        if waits_since := services.jobs.oldest_unfinished():
            before = min(before, waits_since - UPLOADED_BEFORE)
        removed["files"] = services.files.prune(before)
        removed["descriptions"] = AnnotationStore(services.database).prune(before)
    return removed


def start(services: "Services") -> threading.Thread:
    """Tidy now and each hour, in a thread that ends with the process; in the engine host, of which there is one."""
    thread = threading.Thread(target=_keep_tidy, args=(services,), name="housekeeping", daemon=True)
    thread.start()
    return thread


def _keep_tidy(services: "Services") -> None:
    while True:
        try:
            removed = tidy(services)
            if any(removed.values()):
                log.info("old things were removed", extra=removed)
        except (SQLAlchemyError, OSError):
            log.warning("old things could not be removed; it is tried again in an hour", exc_info=True)
        time.sleep(EVERY_SECONDS)
