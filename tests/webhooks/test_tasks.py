"""The worker's tasks."""

from __future__ import annotations

from common.periodic_tasks import PeriodicTask
from events.hash_chain import write_next_checkpoint
from events.verification import verify_events
from tests.webhooks.work import enqueue, list_states
from webhooks.models import WebhookDelivery
from webhooks.services import deliveries_prune
from webhooks.tasks import DELIVERIES


def test_deliveries_are_claimed_and_run(account, endpoint, receiver):
    enqueue(account)
    assert DELIVERIES.next_due() is not None
    (claim,) = DELIVERIES.claim("w", 5)
    DELIVERIES.run(claim)
    assert list_states() == ["delivered"]
    assert DELIVERIES.claim("w", 5) == []
    assert DELIVERIES.next_due() is None


def test_old_deliveries_are_deleted_once_an_hour(account, endpoint, shift):
    enqueue(account)
    WebhookDelivery.objects.update(state="failed", next_at=None)
    shift(31 * 86_400)
    pruning = PeriodicTask("old deliveries", every=3600, run_batch=deliveries_prune)
    for claim in pruning.claim("w", 1):
        pruning.run(claim)
    assert list_states() == []
    assert pruning.claim("w", 1) == []


def test_events_are_sealed_every_few_seconds(account):
    seals = PeriodicTask("seals", every=5, run_batch=write_next_checkpoint)
    (claim,) = seals.claim("w", 1)
    seals.run(claim)
    assert verify_events().errors == []
    assert seals.claim("w", 1) == []
