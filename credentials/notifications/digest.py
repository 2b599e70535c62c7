"""The mail to staff about incidents: one digest, at most every ten minutes.

All workers share one row (`StaffDigest`): one of them looks for incidents every half a minute.
"""

from __future__ import annotations

import datetime as dt
import smtplib
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F, Q
from django.template.loader import render_to_string

from common.backoff import get_backoff
from common.concurrency import blocking_io
from common.db.clock import db_now
from common.leases import Lease, claim_rows
from credentials.notifications.delivery_errors import describe_error
from credentials.notifications.incidents import count_kinds, incidents_update
from credentials.notifications.models import Incident, StaffDigest

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = dt.timedelta(seconds=30)
MIN_INTERVAL: Final = dt.timedelta(minutes=10)
"""The time between two digests."""

GATHER: Final = dt.timedelta(seconds=60)
"""The time that the first incident waits for others, so that one mail has them all."""

LEASE: Final = dt.timedelta(seconds=90)
FIRST_RETRY: Final = dt.timedelta(minutes=1)
LAST_RETRY: Final = dt.timedelta(minutes=15)
MAX_LISTED: Final = 20
"""Incidents of one kind that a digest lists; the others are counted."""

_MAX_READ: Final = 2000
_TOO_OLD: Final = dt.timedelta(days=1)

name = "staff digest"


def claim(owner: str, limit: int) -> list[Lease[StaffDigest]]:
    """Claim the search for incidents if it is due."""
    now = db_now()
    due = StaffDigest.objects.filter(next_at__lte=now)
    rows = list(due[:1])
    if not rows and not StaffDigest.objects.exists():
        StaffDigest.objects.bulk_create([StaffDigest(id=1, next_at=now)], ignore_conflicts=True)
        rows = list(due[:1])
    return claim_rows(due, rows, owner=owner, until=now + LEASE)


def run(claim: Lease[StaffDigest]) -> None:
    """Look for incidents, and send a digest if one is due."""
    now = db_now()
    incidents_update(now=now)
    values = _send_if_due(claim, now)
    claim.settle(next_at=db_now() + LOOK_EVERY, **values)


def next_due() -> dt.datetime | None:
    """Return when incidents are looked for again."""
    return StaffDigest.objects.values_list("next_at", flat=True).first()


def can_send_mail() -> bool:
    """Return True if there is a mail server and an address of staff."""
    is_dummy = settings.EMAIL_BACKEND.endswith(".dummy.EmailBackend")
    return bool(settings.STAFF_EMAIL) and not is_dummy


def _send_if_due(claim: Lease[StaffDigest], now: dt.datetime) -> dict[str, Any]:
    """Return the columns that the attempt changes; none if no digest is due."""
    opened, closed = _read_unsent(now)
    if not opened and not closed:
        return {}
    if not can_send_mail():
        _settle_incidents(opened, closed, now)
        return {}
    digest = claim.filter_rows().first()
    if digest is None or not _is_due(digest, opened, closed, now):
        return {}
    try:
        with blocking_io():
            _build_message(opened, closed, now).send()
    except (OSError, smtplib.SMTPException) as error:
        log.warning("digest.not_sent", error=type(error).__name__)
        return {
            "failures": F("failures") + 1,
            "failing_since": digest.failing_since or now,
            "retry_at": now
            + get_backoff(digest.failures + 1, first=FIRST_RETRY, longest=LAST_RETRY),
            "last_error": describe_error(error),
        }
    _settle_incidents(opened, closed, now)
    return {
        "sent_at": now,
        "failures": 0,
        "failing_since": None,
        "retry_at": None,
        "last_error": "",
    }


def _is_due(
    digest: StaffDigest, opened: list[Incident], closed: list[Incident], now: dt.datetime
) -> bool:
    if digest.retry_at is not None:
        return digest.retry_at <= now
    if digest.sent_at is not None and now - digest.sent_at < MIN_INTERVAL:
        return False
    times = [incident.opened_at for incident in opened]
    times += [incident.closed_at for incident in closed if incident.closed_at]
    return now - min(times) >= GATHER


def _read_unsent(now: dt.datetime) -> tuple[list[Incident], list[Incident]]:
    """Return the incidents whose opening no mail has, and those whose end no mail has."""
    recent = Q(opened_at__gt=now - _TOO_OLD) | Q(closed_at__gt=now - _TOO_OLD)
    rows = Incident.objects.filter(recent).order_by("id")
    opened = list(rows.filter(opening_settled_at=None)[:_MAX_READ])
    unsent_ends = rows.filter(closed_at__isnull=False, closing_settled_at=None)
    return opened, list(unsent_ends[:_MAX_READ])


def _settle_incidents(opened: list[Incident], closed: list[Incident], now: dt.datetime) -> None:
    for field, incidents in (("opening_settled_at", opened), ("closing_settled_at", closed)):
        Incident.objects.filter(id__in=[each.id for each in incidents]).update(**{field: now})


def _build_message(
    opened: list[Incident], closed: list[Incident], now: dt.datetime
) -> EmailMultiAlternatives:
    ongoing = [incident for incident in opened if incident.closed_at is None]
    sections = [
        _build_section(title, [incident for incident in ongoing if incident.kind == kind])
        for kind, title in (
            (Incident.Kind.APP_REJECTED, "OAuth apps that their providers reject"),
            (Incident.Kind.PROVIDER_OUTAGE, "Providers that do not respond"),
            (Incident.Kind.MANY_ERRORS, "Credentials that have stopped working"),
        )
    ]
    sections.append(_build_section("Over", closed, is_end=True))
    context = {
        "sections": [section for section in sections if section["count"]],
        "still_open": Incident.objects.filter(closed_at=None).count(),
        "admin_url": f"{settings.PUBLIC_URL}/admin/",
        "minutes": int(MIN_INTERVAL.total_seconds() // 60),
        "now": now,
    }
    domain = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    first = min(incident.id for incident in [*opened, *closed])
    message = EmailMultiAlternatives(
        subject=_build_subject(ongoing, closed),
        body=render_to_string("mail/staff.txt", context),
        to=list(settings.STAFF_EMAIL),
        headers={
            # The same after a crash between sending and storing: mail programs show it once.
            "Message-ID": f"<digest-{first}-{len(opened)}-{len(closed)}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("mail/staff.html", context), "text/html")
    return message


def _build_section(
    title: str, incidents: list[Incident], *, is_end: bool = False
) -> dict[str, Any]:
    return {
        "title": title,
        "count": len(incidents),
        "is_end": is_end,
        "incidents": incidents[:MAX_LISTED],
        "more": max(len(incidents) - MAX_LISTED, 0),
    }


def _build_subject(ongoing: list[Incident], closed: list[Incident]) -> str:
    counts = count_kinds(ongoing)
    words = {
        Incident.Kind.APP_REJECTED: ("OAuth app rejected", "OAuth apps rejected"),
        Incident.Kind.PROVIDER_OUTAGE: ("provider outage", "provider outages"),
    }
    parts = [
        f"{counts[kind]} {one if counts[kind] == 1 else many}"
        for kind, (one, many) in words.items()
        if counts[kind]
    ]
    if counts[Incident.Kind.MANY_ERRORS]:
        parts.append("many credentials failed")
    if not parts:
        parts.append(f"{len(closed)} {'incident' if len(closed) == 1 else 'incidents'} over")
    return f"Latchkey: {', '.join(parts)}"
