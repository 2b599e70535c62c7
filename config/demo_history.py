"""A simulated history of sample data: half a year old, most of it working, some of it not."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from typing import Final, NamedTuple

from django.db import transaction

from common.actors import Actor
from common.db.clock import db_now
from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.health.registration import register_all
from credentials.health.services import record_evidence
from credentials.models import Credential, CredentialUse

HALF_A_YEAR: Final = 170


class SampleEvidence(NamedTuple):
    """Evidence for a rejected grant, a rejected key, an unavailable provider, and a working one."""

    grant: Evidence
    key: Evidence
    silence: Evidence
    works: Evidence


DEMO: Final = SampleEvidence(
    Evidence(
        source="refresh",
        verdict="rejected",
        note="Sample data: this is how a rejected grant looks. Its owner would have to connect again.",
        code="invalid_grant",
    ),
    Evidence(
        source="probe",
        verdict="rejected",
        note="Sample data: this is how a rejected key looks.",
        code="http_401",
    ),
    # With any other code, a third one would start an outage that names its real provider.
    Evidence(
        source="probe",
        verdict="unavailable",
        note="Sample data: this is how an unavailable provider looks.",
        code="rate_limited",
    ),
    Evidence(
        source="probe",
        verdict="ok",
        note="Sample data: this is how a credential that works looks. No provider was asked.",
        code="http_200",
    ),
)


def simulate_history(
    *, account_id: uuid.UUID, actor: Actor, samples: SampleEvidence = DEMO, seed: int = 7
) -> None:
    """Give an account's credentials ages, expiry times, uses and health.

    The same `seed` gives the same history.
    """
    chance = random.Random(seed)  # noqa: S311 - sample data
    queryset = Credential.objects.filter(account_id=account_id)
    rows = list(queryset.order_by("id").only("id", "oauth_app_id"))
    with transaction.atomic():
        _set_times(rows, chance)
        now = db_now()
        CredentialUse.objects.bulk_create(
            CredentialUse(
                credential=row, last_used_at=now - dt.timedelta(days=20 * chance.random() ** 3)
            )
            for row in rows
            if chance.random() < 0.7
        )
        register_all(queryset)
        for row in rows:
            number = chance.random()
            if number >= 0.85:
                continue
            evidence = samples.works
            if number < 0.04:
                evidence = samples.grant if row.oauth_app_id else samples.key
            elif number < 0.1:
                evidence = samples.silence
            record_evidence(
                account_id=account_id, credential_id=row.id, evidence=evidence, actor=actor
            )
        # The owners are made up, so no mail may be sent.
        NoticeMail.objects.filter(account_id=account_id).delete()


def _set_times(rows: list[Credential], chance: random.Random) -> None:
    now = db_now()
    # The first row is the oldest, because ids ascend in the order of creation.
    ages = sorted((HALF_A_YEAR * chance.random() ** 1.6 for _ in rows), reverse=True)
    for row, days in zip(rows, ages, strict=True):
        row.created_at = now - dt.timedelta(days=days)
    Credential.objects.bulk_update(rows, ["created_at"], batch_size=200)
    expiring = [row for row in rows if chance.random() < 0.25]
    for row in expiring:
        row.expires_at = now + dt.timedelta(days=0.5 + 60 * chance.random() ** 2)
    Credential.objects.bulk_update(expiring, ["expires_at"], batch_size=200)
