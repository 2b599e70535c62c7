"""Mail to owners, sent by the worker from the queue in `health.notification_queue`.

A process that dies after the mail server has accepted a message, but before this is stored, sends it
again under the same Message-ID.
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
from credentials.health.models import NoticeMail
from credentials.health.state_machine import append_note
from credentials.models import Credential
from providers.registry import get_registry

LEASE: Final = dt.timedelta(seconds=60)
FIRST_RETRY: Final = dt.timedelta(minutes=1)
LAST_RETRY: Final = dt.timedelta(hours=4)
GIVE_UP_AFTER: Final = dt.timedelta(days=2)

MAIL_ACTOR: Final = Actor(name="worker:mails")
name = "mails"


def claim(owner: str, limit: int) -> list[Lease[NoticeMail]]:
    """Claim at most `limit` due messages for `owner`."""
    now = db_now()
    due = NoticeMail.objects.filter(outcome="", next_at__lte=now)
    rows = due.order_by("next_at")[:limit]
    return claim_rows(due, rows, owner=owner, until=now + LEASE, attempts=F("attempts") + 1)


def run(claim: Lease[NoticeMail]) -> None:
    """Send the message, unless the credential is gone or works again. Retry it after an error."""
    mail = claim.filter_rows().first()
    if mail is None:
        return
    rows = Credential.objects.select_related("account", "oauth_app")
    row = rows.filter(id=mail.credential_id).first()
    if row is None or row.health["status"] != "error":
        claim.settle(outcome="dropped")
        return
    message = _build_message(mail, row)
    try:
        with blocking_io():
            message.send()
    except (OSError, smtplib.SMTPException) as error:
        now = db_now()
        if _is_permanent(error) or now - mail.created_at > GIVE_UP_AFTER:
            _settle(mail, claim, "failed", f"{mail.to_email} could not be notified by e-mail.")
        else:
            delay = get_backoff(mail.attempts, first=FIRST_RETRY, longest=LAST_RETRY)
            claim.settle(next_at=now + delay)
        return
    _settle(mail, claim, "sent", f"{mail.to_email} was notified by e-mail.")


def next_due() -> dt.datetime | None:
    """Return when the next message is due, None if there is none."""
    unsent = NoticeMail.objects.filter(outcome="")
    next_at: dt.datetime | None = unsent.aggregate(at=Min("next_at"))["at"]
    return next_at


def build_reconnect_url(row: Credential) -> str | None:
    """Return a connect link for the owner, None if no link connects the account without help."""
    # A link that staff have to complete would lead the owner nowhere: the customer says what to do.
    if not get_connect_settings(row.account_id, row.oauth_app).completes_itself:
        return None
    request = LinkRequest(
        credential_id=row.id, owner_email=row.owner_email, expires_in=MAX_LINK_SECONDS
    )
    try:
        _, url = link_create(account_id=row.account_id, link_request=request, actor=MAIL_ACTOR)
    except InvalidInputError:
        return None  # No page connects this kind.
    return url


def _is_permanent(error: Exception) -> bool:
    """Return True if the mail server will never accept it (5yz, RFC 5321 §4.2.1)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500


def _settle(mail: NoticeMail, claim: Lease[NoticeMail], outcome: str, note: str) -> None:
    """Close the message, and add `note` to the credential while it is still `error`."""
    with transaction.atomic():
        # From then on `next_at` is when it was sent: the next mail comes an hour later.
        if not claim.settle(outcome=outcome, next_at=db_now()):
            return
        rows = Credential.objects.select_for_update(of=("self",), no_key=True).only("health")
        row = rows.filter(id=mail.credential_id).first()
        if row is not None and row.health["status"] == "error":
            health = {**row.health, "notes": append_note(row.health["notes"], note)}
            Credential.objects.filter(id=row.id).update(health=health)


def _build_message(mail: NoticeMail, row: Credential) -> EmailMultiAlternatives:
    provider = get_registry().get_provider(row.provider)
    # A line break in a name would start another header, and Django would reject the message.
    title = " ".join(str(row).split())
    context: dict[str, Any] = {
        "title": title,
        "provider": provider.name if provider and row.provider == provider.slug else row.provider,
        "company": row.account.name,
        "note": mail.note,
        "at": mail.created_at,
        "reconnect_url": build_reconnect_url(row),
    }
    domain = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    message = EmailMultiAlternatives(
        subject=f"{title[:130]} has stopped working",
        body=render_to_string("mail/error.txt", context),
        to=[mail.to_email],
        headers={
            "Message-ID": f"<{mail.id}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("mail/error.html", context), "text/html")
    return message
