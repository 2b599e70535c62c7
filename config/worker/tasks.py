"""The tasks of the worker. Each claims due rows of its own tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Protocol


class TaskSource(Protocol):
    """A type of due work.

    `claim` claims at most `limit` pieces of work in short transactions; no other process has them
    then. `run` does one of them in a thread of its own, and raises nothing for an error of the
    outside world. `next_due` returns when there will be more, or None if nothing is planned.
    """

    @property
    def name(self) -> str: ...

    def claim(self, owner: str, limit: int) -> Sequence[Any]: ...

    def run(self, claim: Any) -> None: ...

    def next_due(self) -> dt.datetime | None: ...


def get_task_sources() -> tuple[TaskSource, ...]:
    """Return all tasks."""
    # Imported late: the models need Django to be set up.
    from accounts.tasks import EXPIRED_IDEMPOTENCY_RECORDS
    from config.dashboard.tasks import STATISTICS_TASK
    from config.event_anchors import EVENT_ANCHORS
    from credentials.connect.tasks import EXPIRE_TASK
    from credentials.notifications import digest, mail
    from credentials.probing import tasks as probes
    from credentials.refresh.restored_database import DATABASE_MARKS
    from credentials.refresh.standby import KEPT_RESPONSES
    from credentials.refresh.tasks import REFRESH_TASK, RESPONSE_PRUNING
    from credentials.restore.tasks import RESTORE_NOTES
    from credentials.revocation import tasks as revocations
    from events.tasks import EVENT_CHECKPOINTS
    from webhooks.tasks import DELIVERIES, DELIVERY_PRUNING

    return (
        REFRESH_TASK,
        DATABASE_MARKS,
        KEPT_RESPONSES,
        RESTORE_NOTES,
        probes,
        mail,
        digest,
        revocations,
        EXPIRE_TASK,
        DELIVERIES,
        EVENT_CHECKPOINTS,
        EVENT_ANCHORS,
        DELIVERY_PRUNING,
        EXPIRED_IDEMPOTENCY_RECORDS,
        STATISTICS_TASK,
        RESPONSE_PRUNING,
    )


RESERVED_SHARE: Final = 16
"""One of this many threads is reserved: no task can use all, so a hanging provider delays no mail."""
