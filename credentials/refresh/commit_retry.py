"""Writing what must not be lost: again on a new connection, as long as the lease lets us."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from common.concurrency import sleep
from credentials.refresh.lease import LEASE_DURATION
from credentials.refresh.types import RefreshClaim

T = TypeVar("T")
log = structlog.get_logger(__name__)

LEASE_MARGIN: Final = 2.0
"""Seconds before the lease's end at which nothing is written by right of it any more."""

_FIRST_WAIT: Final = 0.1
_LAST_WAIT: Final = 1.0


def commit_with_retry(claim: RefreshClaim, write: Callable[[], T]) -> T:
    """What `write` returns once its transaction is committed.

    `write` must recognise what it wrote before: a COMMIT may have worked and its answer be lost.
    Raises the last OperationalError or InterfaceError when the lease is about to end.
    """
    ends = claim.start_seconds + LEASE_DURATION.total_seconds() - LEASE_MARGIN
    wait = _FIRST_WAIT
    while True:
        try:
            with transaction.atomic():
                return write()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() + wait > ends:
                raise
            log.warning("refresh.commit_failed", id=str(claim.row.id), error=type(error).__name__)
            sleep(wait)
            wait = min(wait * 2, _LAST_WAIT)
