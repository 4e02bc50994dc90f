"""What is old goes: results, uploads and ended jobs after KEEP_DAYS, halves of files and unheard sounds after a day."""

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from services.annotations.store import AnnotationStore
from services.domains import user_files
from services.domains.transcription import SOUND_SUFFIX
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

EVERY_SECONDS = 3600.0
# How long before its job an upload may have come.
UPLOADED_BEFORE = timedelta(days=1)
# How long a transcription that failed or was cancelled may be started again.
RETRIED_WITHIN = timedelta(days=1)

log = logging.getLogger(__name__)


def tidy(services: "Services") -> dict[str, int]:
    """Remove what is too old; how many of each.

    Files are left alone that are no older than the oldest job that has not ended: it may need them.
    """
    removed = {"halves": services.files.sweep(), "expired": user_files.prune(services=services)}
    removed["sounds"] = services.files.prune(_unneeded_since(RETRIED_WITHIN, services), suffix=SOUND_SUFFIX)
    if days := services.settings.keep_days:
        removed["jobs"] = services.jobs.prune(days)
        before = _unneeded_since(timedelta(days=days), services)
        removed["files"] = services.files.prune(before) + services.files.prune_strays(before)
        removed["descriptions"] = AnnotationStore(services.database).prune(before)
    return removed


def _unneeded_since(age: timedelta, services: "Services") -> datetime:
    """Before when nothing is needed that is older than *age*."""
    before = utc_now() - age
    waits_since = services.jobs.oldest_unfinished()
    return min(before, waits_since - UPLOADED_BEFORE) if waits_since else before


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
