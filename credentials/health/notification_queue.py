"""The queue of mails to owners: one for each change of a credential to `error`."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.conf import settings
from django.db.models import Max

from common.db.clock import db_now
from credentials.health import state_machine
from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.models import Credential

MIN_INTERVAL: Final = dt.timedelta(hours=1)
"""The time between two mails about a credential whose status goes to and fro."""

_SOON: Final = dt.timedelta(minutes=2)

# Errors of this server. Its operator has to act, and no customer can.
_SERVER_SOURCES: Final = frozenset({"seal"})


def enqueue_owner_mail(row: Credential, evidence: Evidence) -> list[str]:
    """Enqueue the mail about a change to `error`. Return notes that say why there is none yet.

    Within an hour of the last mail it is enqueued for the end of that hour: it is sent then if the
    credential still does not work.
    """
    if not row.owner_email or evidence.source in _SERVER_SOURCES:
        return []
    if settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend"):
        return ["The owner was not notified: this server is not configured to send mail."]
    note = " ".join(evidence.note.split())[: state_machine.MAX_NOTE]
    mails, now = NoticeMail.objects.filter(credential_id=row.id), db_now()
    # A mail that has not been sent yet says the newest reason, and is sent only while it is true.
    if waiting := mails.filter(outcome="").order_by("-created_at").first():
        mails.filter(id=waiting.id, outcome="").update(note=note, to_email=row.owner_email)
        # One that the mail server did not accept yet says so itself once it is sent or given up.
        return [] if waiting.attempts else _describe_delay(waiting.next_at, now)
    # `next_at` of a mail that was sent is when that was.
    sent = mails.filter(next_at__gt=now - MIN_INTERVAL).exclude(outcome="dropped")
    latest = sent.aggregate(at=Max("next_at"))["at"]
    next_at = max(now, latest + MIN_INTERVAL) if latest else now
    NoticeMail.objects.create(
        account_id=row.account_id,
        credential_id=row.id,
        to_email=row.owner_email,
        note=note,
        next_at=next_at,
    )
    return _describe_delay(next_at, now)


def _describe_delay(next_at: dt.datetime, now: dt.datetime) -> list[str]:
    if next_at - now < _SOON:
        return []
    return [
        "The owner was notified within the last hour. If it still does not work at"
        f" {next_at.astimezone(dt.UTC):%H:%M} UTC, the owner is notified again."
    ]
