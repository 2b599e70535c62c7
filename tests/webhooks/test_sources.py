"""What the worker is given to do."""

from __future__ import annotations

from common.periodic_tasks import Periodic
from events.hash_chain import seal_due
from events.verification import verify
from tests.webhooks.work import states, told
from webhooks.models import WebhookDelivery
from webhooks.services import deliveries_prune
from webhooks.tasks import DELIVERIES


def test_deliveries_are_claimed_and_run(account, endpoint, receiver):
    told(account)
    assert DELIVERIES.next_due() is not None
    (claim,) = DELIVERIES.claim("w", 5)
    DELIVERIES.run(claim)
    assert states() == ["delivered"]
    assert DELIVERIES.claim("w", 5) == []
    assert DELIVERIES.next_due() is None


def test_old_deliveries_are_forgotten_once_an_hour(account, endpoint, shift):
    told(account)
    WebhookDelivery.objects.update(state="failed", next_at=None)
    shift(31 * 86_400)
    pruning = Periodic("old deliveries", every=3600, work=deliveries_prune)
    for claim in pruning.claim("w", 1):
        pruning.run(claim)
    assert states() == []
    assert pruning.claim("w", 1) == []


def test_seals_are_made_every_few_seconds(account):
    seals = Periodic("seals", every=5, work=seal_due)
    (claim,) = seals.claim("w", 1)
    seals.run(claim)
    assert verify().faults == []
    assert seals.claim("w", 1) == []
