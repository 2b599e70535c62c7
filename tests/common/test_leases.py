"""Leases on rows with and without a fencing number."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db.models import F

from common.leases import Lease, claim_rows
from credentials.health.models import NoticeMail
from webhooks.models import WebhookDelivery, WebhookEndpoint

MINUTE = dt.timedelta(minutes=1)


START = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)


@pytest.fixture(params=["with fencing number", "without"])
def rows(request, account):
    """Return a table with two rows that are due at START."""
    if request.param == "without":
        for _ in range(2):
            NoticeMail.objects.create(
                account=account, credential_id=uuid.uuid4(), to_email="ann@acme.example",
                note="", next_at=START,
            )  # fmt: skip
        return NoticeMail.objects.order_by("id")
    endpoint = WebhookEndpoint.objects.create(account=account, url="https://hooks.example.com/x")
    for _ in range(2):
        WebhookDelivery.objects.create(
            account=account, endpoint=endpoint, message_id=uuid.uuid4(), target_id=uuid.uuid4(),
            next_at=START,
        )  # fmt: skip
    return WebhookDelivery.objects.order_by("id")


def claim(rows: Any, owner: str = "a", *, at: dt.datetime = START) -> list[Lease[Any]]:
    due = rows.filter(next_at__lte=at)
    return claim_rows(due, due[:1], owner=owner, until=at + MINUTE, attempts=F("attempts") + 1)


def test_a_row_is_claimed_once(rows):
    due, candidates = rows.filter(next_at__lte=START), list(rows)
    leases = claim_rows(due, candidates, owner="a", until=START + MINUTE)
    assert [lease.row.pk for lease in leases] == [row.pk for row in candidates]
    assert claim_rows(due, candidates, owner="b", until=START + MINUTE) == []


def test_a_claim_writes_its_values(rows):
    (lease,) = claim(rows)
    row = rows.get(pk=lease.row.pk)
    assert (row.lease_owner, row.next_at, row.attempts) == ("a", lease.until, 1)


def test_settling_ends_the_lease(rows):
    (lease,) = claim(rows)
    assert lease.settle(attempts=7)
    row = rows.get(pk=lease.row.pk)
    assert (row.lease_owner, row.attempts) == ("", 7)
    assert not lease.settle(attempts=8)
    assert not lease.filter_rows().exists()


@pytest.mark.parametrize("owner", ["a", "b"], ids=["same worker", "other worker"])
def test_a_lost_lease_writes_nothing(rows, owner):
    (lost,) = claim(rows)
    (lease,) = claim(rows.filter(pk=lost.row.pk), owner, at=START + 2 * MINUTE)
    assert not lost.settle(attempts=7)
    assert lost.renew(START + 5 * MINUTE) is None
    assert rows.get(pk=lease.row.pk).attempts == 2
    assert lease.filter_rows().exists()


def test_a_renewed_lease_still_owns_its_row(rows):
    (lease,) = claim(rows)
    renewed = lease.renew(lease.until + MINUTE)
    assert renewed is not None
    assert rows.get(pk=lease.row.pk).next_at == renewed.until
    assert renewed.settle()
