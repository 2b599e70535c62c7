"""The check before each refresh that the database is not an earlier state of itself."""

from __future__ import annotations

import threading
from typing import Final

from common.periodic_tasks import PeriodicTask
from credentials.refresh import standby
from credentials.restore.holds import RestoreInProgressError
from credentials.restore.recognition import count_mark, find_restore, handle_restore

_lock = threading.Lock()


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
    count_mark()


DATABASE_MARKS: Final = PeriodicTask("database marks", every=10, run_batch=_count_mark)
