"""The queue of mails to owners: one for each change of a credential to `error`."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.conf import settings

from common.db.clock import db_now
from credentials.health import state_machine
from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.models import Credential

MIN_INTERVAL: Final = dt.timedelta(hours=1)
"""The time between two mails about a credential whose status goes to and fro."""

# Errors of this server. Its operator has to act, and no customer can.
_SERVER_SOURCES: Final = frozenset({"seal"})


def enqueue_owner_mail(row: Credential, evidence: Evidence) -> list[str]:
    """Enqueue the mail about a change to `error`. Return notes that say why there is none."""
    if not row.owner_email or evidence.source in _SERVER_SOURCES:
        return []
    if settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend"):
        return ["The owner was not notified: this server is not configured to send mail."]
    recent = NoticeMail.objects.filter(credential_id=row.id, created_at__gt=db_now() - MIN_INTERVAL)
    if recent.exists():
        return ["The owner was notified within the last hour and is not notified again."]
    NoticeMail.objects.create(
        account_id=row.account_id,
        credential_id=row.id,
        to_email=row.owner_email,
        note=" ".join(evidence.note.split())[: state_machine.MAX_NOTE],
    )
    return []
