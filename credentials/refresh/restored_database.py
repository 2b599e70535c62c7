"""The check before each refresh that the database is not an earlier state of itself."""

from __future__ import annotations

import threading
import time
from typing import Final

import structlog

from common.datetimes import format_rfc3339
from common.periodic_tasks import PeriodicTask
from credentials.refresh import standby
from credentials.restore.holds import RestoreInProgressError
from credentials.restore.recognition import count_mark, find_restore, handle_restore

log = structlog.get_logger(__name__)

LOG_EVERY: Final = 3600.0
"""Seconds between two marks in the log of a process."""

_lock = threading.Lock()
_logged_at = [-LOG_EVERY]


def require_current_database(*, patience: float = -1) -> None:
    """Return once it is safe to refresh grants.

    If the database went back in time, the responses that this machine has kept are stored again, and
    the other grants that may have been replaced are marked (credentials/restore). Another thread may
    be doing this. It is waited for for `patience` seconds, -1 for any time; after that, raises
    RestoreInProgressError.
    """
    if find_restore() is None:
        return
    if not _lock.acquire(timeout=patience):
        raise RestoreInProgressError()
    try:
        # Another thread may have done it in the meantime.
        if find_restore() is not None:
            standby.restore_kept_responses()
            handle_restore()
    finally:
        _lock.release()


def _count_mark() -> None:
    require_current_database()
    mark = count_mark()
    # The log outlives the database and SPOOL_DIR: it tells a person the time for `restored --at`.
    if mark is not None and time.monotonic() - _logged_at[0] >= LOG_EVERY:
        _logged_at[0] = time.monotonic()
        log.info("database.mark", number=mark.number, time=format_rfc3339(mark.counted_at))


DATABASE_MARKS: Final = PeriodicTask("database marks", every=10, run_batch=_count_mark)
