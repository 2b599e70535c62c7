"""What the worker does. Each source is a kind of due work, claimed from its own tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, Protocol


class TaskSource(Protocol):
    """`claim` takes at most `limit` pieces of work in short transactions; nobody else has them then.

    `run` does one, in a thread of its own: it raises nothing for what the outside world does wrong.
    `next_due` is when there will be more, None if nothing is planned.
    """

    @property
    def name(self) -> str: ...

    def claim(self, owner: str, limit: int) -> Sequence[Any]: ...

    def run(self, claim: Any) -> None: ...

    def next_due(self) -> dt.datetime | None: ...


def get_task_sources() -> tuple[TaskSource, ...]:
    """All sources; imported late, because their models need Django to be set up."""
    from accounts.tasks import EXPIRED_IDEMPOTENCY_RECORDS
    from config.dashboard.tasks import STATISTICS_TASK
    from credentials.connect import tasks as connects
    from credentials.notifications import mail as mails
    from credentials.probing import tasks as probes
    from credentials.refresh import tasks as refreshes
    from credentials.revocation import tasks
    from events.tasks import EVENT_CHECKPOINTS
    from webhooks.tasks import DELIVERIES, DELIVERY_PRUNING

    return (
        refreshes.REFRESH_TASK,
        probes,
        mails,
        tasks,
        connects.EXPIRE_TASK,
        DELIVERIES,
        EVENT_CHECKPOINTS,
        DELIVERY_PRUNING,
        EXPIRED_IDEMPOTENCY_RECORDS,
        STATISTICS_TASK,
    )


RESERVED_SHARE: Final = 16
"""One thread in so many is kept from the source that has all others: a hanging provider stops no mail."""
