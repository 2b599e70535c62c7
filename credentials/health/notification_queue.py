"""The one message to a credential's owner when it stops working, queued by whoever finds that out."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.conf import settings

from common.db.clock import db_now
from credentials.health import state_machine
from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.models import Credential

QUIET: Final = dt.timedelta(hours=1)
"""A credential that goes to and fro is written about once in this time."""

NOT_THE_OWNERS: Final = frozenset({"seal"})
"""Faults of this server: its operator is to act, and no customer can."""


def enqueue_owner_mail(row: Credential, evidence: Evidence) -> list[str]:
    """Queue the message of one transition to `error`; the notes that say why there is none."""
    if not row.owner_email or evidence.source in NOT_THE_OWNERS:
        return []
    if settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend"):
        return ["The owner was not told: this server is not set up to send mail."]
    recent = NoticeMail.objects.filter(credential_id=row.id, created_at__gt=db_now() - QUIET)
    if recent.exists():
        return ["The owner was told within the last hour and is not told again."]
    NoticeMail.objects.create(
        account_id=row.account_id,
        credential_id=row.id,
        to_email=row.owner_email,
        note=" ".join(evidence.note.split())[: state_machine.MAX_NOTE],
    )
    return []
