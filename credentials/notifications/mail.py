"""Sending what `notices` has queued: a source of the worker's.

A process that dies between the mail server's yes and our note of it sends once more, under the same
Message-ID.
"""

from __future__ import annotations

import datetime as dt
import smtplib
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F, Min
from django.template.loader import render_to_string

from common.actors import Actor
from common.backoff import get_backoff
from common.concurrency import blocking_io
from common.db.clock import db_now
from common.errors import InvalidInputError
from common.leases import Lease, claim_rows
from credentials.connect.link_request import MAX_LINK_SECONDS, LinkRequest
from credentials.connect.services import link_create
from credentials.connect.settings import get_connect_settings
from credentials.health import state_machine
from credentials.health.models import NoticeMail
from credentials.models import Credential
from providers.registry import get_registry

LEASE: Final = dt.timedelta(seconds=60)
FIRST_RETRY: Final = dt.timedelta(minutes=1)
LAST_RETRY: Final = dt.timedelta(hours=4)
GIVE_UP: Final = dt.timedelta(days=2)

MAIL_ACTOR: Final = Actor(name="worker:mails")
name = "mails"


def claim(owner: str, limit: int) -> list[Lease[NoticeMail]]:
    """Claim at most `limit` due messages for `owner`."""
    now = db_now()
    due = NoticeMail.objects.filter(outcome="", next_at__lte=now)
    rows = due.order_by("next_at")[:limit]
    return claim_rows(due, rows, owner=owner, until=now + LEASE, attempts=F("attempts") + 1)


def run(claim: Lease[NoticeMail]) -> None:
    """Send it, unless the credential is gone or works again by now; a refusal is tried later."""
    notice = claim.filter_rows().first()
    if notice is None:
        return
    row = (
        Credential.objects.select_related("account", "oauth_app")
        .filter(id=notice.credential_id)
        .first()
    )
    if row is None or row.health["status"] != "error":
        _settle(notice, claim, "dropped", None)
        return
    message = _message(notice, row)
    try:
        with blocking_io():
            message.send()
    except (OSError, smtplib.SMTPException) as error:
        _put_off(notice, claim, permanent=_permanent(error))
        return
    _settle(notice, claim, "sent", f"{notice.to_email} was told by e-mail.")


def next_due() -> dt.datetime | None:
    """When the next message is to be sent; None where there is none."""
    found: dt.datetime | None = NoticeMail.objects.filter(outcome="").aggregate(at=Min("next_at"))[
        "at"
    ]
    return found


def build_reconnect_url(row: Credential) -> str | None:
    """A connect link for the owner alone, where the company lets its links complete themselves.

    None else: a link that nobody completes would lead nowhere, so the company says what to do.
    """
    if not get_connect_settings(row.account_id, row.oauth_app).completes_itself:
        return None
    wish = LinkRequest(
        credential_id=row.id, owner_email=row.owner_email, expires_in=MAX_LINK_SECONDS
    )
    try:
        _, address = link_create(account_id=row.account_id, link_request=wish, actor=MAIL_ACTOR)
    except InvalidInputError:
        return None  # No page connects this kind.
    return address


def _permanent(error: Exception) -> bool:
    """Whether the mail server will never take it (RFC 5321 §4.2.1: 5yz)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


def _put_off(notice: NoticeMail, claim: Lease[NoticeMail], *, permanent: bool) -> None:
    now = db_now()
    if permanent or now - notice.created_at > GIVE_UP:
        _settle(notice, claim, "failed", f"{notice.to_email} could not be told by e-mail.")
        return
    wait = get_backoff(notice.attempts, first=FIRST_RETRY, longest=LAST_RETRY)
    claim.settle(next_at=now + wait)


def _settle(notice: NoticeMail, claim: Lease[NoticeMail], outcome: str, note: str | None) -> None:
    """Close it, and say so in the credential's notes while these are still about that error."""
    with transaction.atomic():
        if not claim.settle(outcome=outcome) or note is None:
            return
        rows = Credential.objects.select_for_update(of=("self",), no_key=True).only("health")
        row = rows.filter(id=notice.credential_id).first()
        if row is not None and row.health["status"] == "error":
            health = {**row.health, "notes": state_machine.merge_notes([note], row.health["notes"])}
            Credential.objects.filter(id=row.id).update(health=health)


def _message(notice: NoticeMail, row: Credential) -> EmailMultiAlternatives:
    context = _context(notice, row)
    subject = f"{context['title'][:130]} has stopped working"
    domain = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    message = EmailMultiAlternatives(
        subject=subject,
        body=render_to_string("mail/error.txt", context),
        to=[notice.to_email],
        headers={
            "Message-ID": f"<{notice.id}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("mail/error.html", context), "text/html")
    return message


def _context(notice: NoticeMail, row: Credential) -> dict[str, Any]:
    provider = get_registry().get_provider(row.provider)
    # One line each: a line break in a name would begin another header (Django refuses it, too).
    return {
        "title": " ".join(str(row).split()),
        "provider": provider.name if provider and row.provider == provider.slug else row.provider,
        "company": row.account.name,
        "note": notice.note,
        "at": notice.created_at,
        "reconnect_url": build_reconnect_url(row),
    }
