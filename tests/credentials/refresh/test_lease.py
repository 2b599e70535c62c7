"""The lease of a running request: how long the grant is left alone once its process dies."""

from __future__ import annotations

import dataclasses
import time

import pytest

from credentials.core.grant_state import get_grant
from credentials.models import Credential
from credentials.refresh.lease import claim_due_grants, extend_lease, get_lease_seconds
from tests.factories import TESTER

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("grace_seconds", "age", "remaining"),
    [
        # A provider with a grace: the lease ends before it, also after a late heartbeat.
        (60, 2, 16),
        (60, 20, 8),
        (30, 13, 8),
        # A strict one: it ends with the request, not a whole lease after the last heartbeat.
        (0, 2, 93),
        (0, 50, 45),
        (0, 89, 25),
    ],
)
def test_a_renewed_lease_counts_from_the_claim(
    provider, grant, app, facts, grace_seconds, age, remaining
):
    facts(grace_seconds=grace_seconds)
    row = grant()
    (claim,) = claim_due_grants(
        app.id, 1, actor=TESTER, lease_seconds=get_lease_seconds(row.provider)
    )
    assert extend_lease(dataclasses.replace(claim, start_seconds=time.monotonic() - age))
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert stored.lease_until
    assert stored.lease_renewed_at
    seconds = (stored.lease_until - stored.lease_renewed_at).total_seconds()
    assert seconds == pytest.approx(remaining, abs=3)
