"""Mail to owners, sent by the worker from the queue in `health.notification_queue`.

A recipient gets at most one mail an hour, which lists all credentials that have stopped working.

A process that dies after the mail server has accepted a message, but before this is stored, sends it
again under the same Message-ID.
"""

from __future__ import annotations

import datetime as dt
import smtplib
import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F, Max, Min
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
from credentials.notifications.delivery_errors import describe_error
from events.services import EventTarget, record_event
from providers.registry import get_registry

LEASE: Final = dt.timedelta(seconds=60)
FIRST_RETRY: Final = dt.timedelta(minutes=1)
LAST_RETRY: Final = dt.timedelta(hours=4)
GIVE_UP_AFTER: Final = dt.timedelta(days=2)

GATHER: Final = dt.timedelta(seconds=30)
"""The time that a mail waits for others to the same recipient, which it then lists."""

MIN_INTERVAL: Final = dt.timedelta(hours=1)
"""The time between two mails to one recipient."""

MAX_LISTED: Final = 100
"""Credentials in one mail. The others are in the next one."""

MAIL_ACTOR: Final = Actor(name="worker:mails")
name = "mails"


class Notice(NamedTuple):
    """A mail that this process has the lease of, and its credential, which is in error."""

    mail: NoticeMail
    row: Credential
    claim: Lease[NoticeMail]


def claim(owner: str, limit: int) -> list[Lease[NoticeMail]]:
    """Claim at most `limit` due messages for `owner`, at most one of each recipient."""
    now = db_now()
    # SQLite compares datetimes as text, and has two texts for one of a whole second.
    before = now - GATHER + dt.timedelta(milliseconds=1)
    due = NoticeMail.objects.filter(outcome="", next_at__lte=now, created_at__lt=before)
    # The thread that has the first one sends the others with it.
    firsts: dict[tuple[uuid.UUID, str], NoticeMail] = {}
    for row in due.order_by("next_at", "id")[: 10 * limit]:
        firsts.setdefault((row.account_id, row.to_email), row)
    rows = list(firsts.values())[:limit]
    return claim_rows(due, rows, owner=owner, until=now + LEASE, attempts=F("attempts") + 1)


def run(claim: Lease[NoticeMail]) -> None:
    """Send the recipient one message about all credentials that have stopped working.

    Credentials that are gone or work again are left out. After an error it is retried.
    """
    mail = claim.filter_rows().first()
    if mail is None:
        return
    now = db_now()
    if (wait_until := _find_next_time(mail, now)) is not None:
        claim.settle(next_at=wait_until, attempts=F("attempts") - 1)
        return
    # The recipient's other mails, at most as many as one message lists.
    same = NoticeMail.objects.filter(account_id=mail.account_id, to_email=mail.to_email)
    free = same.filter(outcome="", lease_owner="")
    rows = free.order_by("created_at", "id")[: MAX_LISTED - 1]
    others = claim_rows(
        free, rows, owner=claim.owner, until=now + LEASE, attempts=F("attempts") + 1
    )
    notices = [notice for each in [claim, *others] if (notice := _read_notice(each)) is not None]
    if not notices:
        return
    message = build_message(notices)
    try:
        with blocking_io():
            message.send()
    except (OSError, smtplib.SMTPException) as error:
        for notice in notices:
            _settle_error(notice, error)
        return
    for notice in notices:
        _settle(notice, "sent", f"{mail.to_email} was notified by e-mail.")


def next_due() -> dt.datetime | None:
    """Return when the next message is due, None if there is none."""
    unsent = NoticeMail.objects.filter(outcome="")
    times = unsent.aggregate(at=Min("next_at"), created=Min("created_at"))
    if times["at"] is None:
        return None
    due: dt.datetime = max(times["at"], times["created"] + GATHER)
    return due


def _find_next_time(mail: NoticeMail, now: dt.datetime) -> dt.datetime | None:
    """Return when this mail can be sent, None if that is now.

    The recipient gets one mail an hour. Another process may be sending one at the moment.
    """
    same = NoticeMail.objects.filter(account_id=mail.account_id, to_email=mail.to_email)
    # `next_at` of a mail that was sent is when that was.
    sent = same.filter(outcome="sent", next_at__gt=now - MIN_INTERVAL)
    if latest := sent.aggregate(at=Max("next_at"))["at"]:
        last: dt.datetime = latest
        return last + MIN_INTERVAL
    leased = same.filter(outcome="", next_at__gt=now, id__lt=mail.id).exclude(lease_owner="")
    return now + LEASE if leased.exists() else None


def _read_notice(claim: Lease[NoticeMail]) -> Notice | None:
    """Return the mail with its credential. Drop the mail if that is gone or works again."""
    mail = claim.filter_rows().first()
    if mail is None:
        return None
    rows = Credential.objects.select_related("account", "oauth_app")
    row = rows.filter(id=mail.credential_id).first()
    if row is None or row.health["status"] != "error":
        claim.settle(outcome="dropped")
        return None
    return Notice(mail, row, claim)


def _settle_error(notice: Notice, error: Exception) -> None:
    """Retry the mail later, or give it up. The first error and the last are in the audit log."""
    mail, now = notice.mail, db_now()
    is_final = _is_permanent(error) or now - mail.created_at > GIVE_UP_AFTER
    if is_final or mail.attempts == 1:
        target = EventTarget("credential", mail.account_id, mail.credential_id)
        with transaction.atomic():
            detail = {"error": describe_error(error)}
            record_event(MAIL_ACTOR, target, "credential.notification_failed", detail=detail)
    if is_final:
        _settle(notice, "failed", f"{mail.to_email} could not be notified by e-mail.")
    else:
        delay = get_backoff(mail.attempts, first=FIRST_RETRY, longest=LAST_RETRY)
        notice.claim.settle(next_at=now + delay)


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


def _settle(notice: Notice, outcome: str, note: str) -> None:
    """Close the message, and add `note` to the credential while it is still `error`."""
    with transaction.atomic():
        # From then on `next_at` is when it was sent: the next mail comes an hour later.
        if not notice.claim.settle(outcome=outcome, next_at=db_now()):
            return
        rows = Credential.objects.select_for_update(of=("self",), no_key=True).only("health")
        row = rows.filter(id=notice.mail.credential_id).first()
        if row is not None and row.health["status"] == "error":
            health = {**row.health, "notes": append_note(row.health["notes"], note)}
            Credential.objects.filter(id=row.id).update(health=health)


def build_message(notices: Sequence[Notice]) -> EmailMultiAlternatives:
    """Return the message about one or several credentials of one recipient."""
    items = [_describe(notice) for notice in notices]
    mail, company = notices[0].mail, notices[0].row.account.name
    if len(notices) == 1:
        subject, template = f"{items[0]['title'][:130]} has stopped working", "mail/error"
        context = {**items[0], "company": company}
    else:
        subject, template = f"{len(notices)} credentials have stopped working", "mail/errors"
        context = {"items": items, "company": company}
    domain = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    message = EmailMultiAlternatives(
        subject=subject,
        body=render_to_string(f"{template}.txt", context),
        to=[mail.to_email],
        headers={
            "Message-ID": f"<{mail.id}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
    return message


def _describe(notice: Notice) -> dict[str, Any]:
    """Return what the template says about one credential."""
    mail, row = notice.mail, notice.row
    provider = get_registry().get_provider(row.provider)
    return {
        # A line break in a name would start another header, and Django would reject the message.
        "title": " ".join(str(row).split()),
        "provider": provider.name if provider and row.provider == provider.slug else row.provider,
        "note": mail.note,
        "at": mail.created_at,
        "reconnect_url": build_reconnect_url(row),
    }
