"""Several workers and several pieces of evidence at the same time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from credentials.health.evidence import Evidence
from credentials.health.models import HealthChange, NoticeMail, ProbeState
from credentials.health.registration import register_new
from credentials.health.services import record_evidence
from credentials.notifications import mail
from credentials.probing import tasks as probing_tasks
from credentials.revocation import tasks
from credentials.services.crud import credential_delete
from tests.credentials.health.conftest import make_gitlab_body
from tests.factories import TESTER, make_account, make_credential, make_stripe_body
from tests.threads import run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_probe_and_mail_is_claimed_once(monkeypatch):
    monkeypatch.setattr(mail, "GATHER", dt.timedelta(0))
    account = make_account()
    rows = [
        make_credential(account, make_stripe_body(owner_email="ann@acme.example")) for _ in range(5)
    ]
    for number, row in enumerate(rows):
        to_email = f"owner-{number}@acme.example"
        NoticeMail.objects.create(
            account=account, credential_id=row.id, to_email=to_email, note="x"
        )
    register_new()
    assert claim_by_eight(probing_tasks.claim) == [1] * 5
    assert claim_by_eight(mail.claim) == [1] * 5


def claim_by_eight(claim: Any) -> list[int]:
    """Return how many of eight workers claimed each row."""
    claims = run_concurrently(lambda n: claim(f"w{n}", 20), 8)
    return list(Counter(one.row.pk for found in claims for one in found).values())


def test_each_revocation_is_claimed_once():
    account = make_account()
    for user in range(1, 6):
        row = make_credential(account, make_gitlab_body(account, user_id=user))
        credential_delete(account_id=account.id, id=row.id, actor=TESTER)
    found = run_concurrently(lambda n: tasks.claim(f"w{n}", 20), 8)
    assert len({claim.row.pk for claims in found for claim in claims}) == 5
    assert sum(map(len, found)) == 5


def test_concurrent_evidence_records_one_change():
    account = make_account()
    row = make_credential(account, make_stripe_body(owner_email="ann@acme.example"))
    evidence = Evidence(source="probe", verdict="rejected", note="Gone.", code="http_401")

    def record(_: int) -> bool:
        with transaction.atomic():
            return record_evidence(
                account_id=account.id, credential_id=row.id, evidence=evidence, actor=TESTER
            )

    assert Counter(run_concurrently(record, 12)) == {True: 1, False: 11}
    assert HealthChange.objects.count() == NoticeMail.objects.count() == 1
    assert ProbeState.objects.count() == 1


def test_concurrent_outage_evidence_does_not_deadlock():
    rows = [make_credential(make_account()) for _ in range(8)]
    evidence = Evidence(source="probe", verdict="unavailable", note="Silence.", code="unreachable")

    def record(number: int) -> bool:
        row = rows[number % 8]
        with transaction.atomic():
            return record_evidence(
                account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
            )

    assert len(run_concurrently(record, 16)) == 16
    for row in rows:
        row.refresh_from_db()
    assert {row.health["status"] for row in rows} == {"warn"}
