"""Trouble with the mail server, as events and staff see it."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.db.models import Q, Value

from common.db.clock import DbNow
from credentials.health.models import NoticeMail
from credentials.notifications.models import StaffDigest


class MailTrouble(NamedTuple):
    """The time since when the mail server accepts no mail, and its error, which may be unknown."""

    since: dt.datetime
    error: str


def describe_error(error: Exception) -> str:
    """Return the type of a mail server's error and its code. Its words may contain addresses."""
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


def find_mail_trouble() -> MailTrouble | None:
    """Return the trouble that there is now, None if mails are sent."""
    # A mail that waits after an attempt, and is not being sent at the moment.
    retried = Q(outcome="", attempts__gt=0, lease_owner="", next_at__gt=DbNow())
    mails = NoticeMail.objects.filter(retried).values_list("created_at", Value(""))
    digests = StaffDigest.objects.filter(failures__gt=0).order_by()
    first = mails.union(digests.values_list("failing_since", "last_error"), all=True)
    rows = list(first.order_by("created_at")[:1])
    return MailTrouble(*rows[0]) if rows else None
