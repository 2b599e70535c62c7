"""A life for sample data: made over half a year, most of it well, some expiring, warned of or broken."""

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
    """What was seen of some: a grant and a key that are refused, no answer, and one that works."""

    grant: Evidence
    key: Evidence
    silence: Evidence
    works: Evidence


DEMO: Final = SampleEvidence(
    Evidence(
        source="refresh",
        verdict="rejected",
        note="Sample data: this is how a refused grant looks. Its owner would have to connect again.",
        code="invalid_grant",
    ),
    Evidence(
        source="probe",
        verdict="rejected",
        note="Sample data: this is how a refused key looks.",
        code="http_401",
    ),
    # Of any other silence, a third would make an outage that names its real provider.
    Evidence(
        source="probe",
        verdict="unavailable",
        note="Sample data: this is how a provider without an answer looks.",
        code="rate_limited",
    ),
    Evidence(
        source="probe",
        verdict="ok",
        note="Sample data: this is how a credential that works looks. Nobody was asked.",
        code="http_200",
    ),
)


def simulate_history(
    *, account_id: uuid.UUID, actor: Actor, samples: SampleEvidence = DEMO, seed: int = 7
) -> None:
    """Give an account's credentials ages, ends, uses and health; the same ones for the same `seed`.

    Nobody is written to: their owners are made up.
    """
    chance = random.Random(seed)  # noqa: S311 - sample data
    mine = Credential.objects.filter(account_id=account_id)
    rows = list(mine.order_by("id").only("id", "oauth_app_id"))
    with transaction.atomic():
        _age(rows, chance)
        _use(rows, chance)
        register_all(mine)
        for row in rows:
            evidence = _luck(row, chance, samples)
            if evidence:
                record_evidence(
                    account_id=account_id, credential_id=row.id, evidence=evidence, actor=actor
                )
        NoticeMail.objects.filter(account_id=account_id).delete()


def _age(rows: list[Credential], chance: random.Random) -> None:
    """The first is the oldest, as ids are in the order in which rows were made."""
    now = db_now()
    ages = sorted((HALF_A_YEAR * chance.random() ** 1.6 for _ in rows), reverse=True)
    for row, days in zip(rows, ages, strict=True):
        row.created_at = now - dt.timedelta(days=days)
    Credential.objects.bulk_update(rows, ["created_at"], batch_size=200)
    ending = [row for row in rows if chance.random() < 0.25]
    for row in ending:
        row.expires_at = now + dt.timedelta(days=0.5 + 60 * chance.random() ** 2)
    Credential.objects.bulk_update(ending, ["expires_at"], batch_size=200)


def _use(rows: list[Credential], chance: random.Random) -> None:
    now = db_now()
    CredentialUse.objects.bulk_create(
        CredentialUse(
            credential=row, last_used_at=now - dt.timedelta(days=20 * chance.random() ** 3)
        )
        for row in rows
        if chance.random() < 0.7
    )


def _luck(row: Credential, chance: random.Random, seen: SampleEvidence) -> Evidence | None:
    luck = chance.random()
    if luck < 0.04:
        return seen.grant if row.oauth_app_id else seen.key
    if luck < 0.1:
        return seen.silence
    return seen.works if luck < 0.85 else None
