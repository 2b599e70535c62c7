"""Retries of a transaction whose loss would cost a grant."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from common.backoff import get_backoff
from common.concurrency import sleep
from credentials.refresh.types import RefreshClaim

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)

COMMIT_SECONDS: Final = 18.0
"""Seconds after the claim at which no write is started any more. The lease is renewed until then."""

_FIRST_COMMIT_DELAY: Final = 0.1
_LONGEST_COMMIT_DELAY: Final = 1.0


def retry_commit(
    write: Callable[Concatenate[RefreshClaim, P], T],
) -> Callable[Concatenate[RefreshClaim, P], T]:
    """Run `write` in a transaction, again on a new connection until the lease is about to end.

    `write` must recognise what it wrote before: a COMMIT may work although its response is lost.
    The function raises the last OperationalError or InterfaceError.
    """

    @functools.wraps(write)
    def write_durably(claim: RefreshClaim, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # A caller gets its response within 20 s. No caller waits for a call that took longer.
        end = max(claim.start_seconds + COMMIT_SECONDS, time.monotonic() + COMMIT_SECONDS / 4)
        failures = 0
        while True:
            try:
                with transaction.atomic():
                    return write(claim, *args, **kwargs)
            except (OperationalError, InterfaceError) as error:
                failures += 1
                delay = get_backoff(
                    failures, first=_FIRST_COMMIT_DELAY, longest=_LONGEST_COMMIT_DELAY
                )
                if connection.in_atomic_block or time.monotonic() + delay > end:
                    raise
                id = str(claim.row.id)
                log.warning("refresh.commit_failed", id=id, error=type(error).__name__)
                sleep(delay)

    return write_durably
