"""Steps of a worker, for tests."""

from __future__ import annotations

import uuid

from accounts.models import Account
from webhooks import outbox
from webhooks.delivery import deliver_due
from webhooks.models import WebhookDelivery


def enqueue(
    account: Account, type: str = "credential.updated", target: uuid.UUID | None = None
) -> uuid.UUID:
    """Enqueue an event of `target`, or of a new object; return its id."""
    target = target or uuid.uuid4()
    outbox.enqueue(account.id, [(type, target)])
    return target


def run_worker(limit: int = 10) -> int:
    """Deliver until nothing is due; return the number of attempts."""
    count = 0
    while done := deliver_due(owner="worker", limit=limit):
        count += done
    return count


def list_states() -> list[str]:
    return list(
        WebhookDelivery.objects.order_by("created_at", "id").values_list("state", flat=True)
    )


def get_only_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()
