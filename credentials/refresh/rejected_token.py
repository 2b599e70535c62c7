"""An access token that its provider rejects although it has not expired.

Callers do not get it any more. One more refresh, a minute after the last one, tells if the grant is
dead. If its new token is rejected as well, the reason is another one, such as a missing permission:
then one refresh a day goes on.
"""

from __future__ import annotations

import datetime as dt

from django.db.models.functions import Greatest

from common.datetimes import format_rfc3339
from credentials.core.grant_state import ACCESS_REJECTED, ACTIVE
from credentials.models import Credential
from credentials.refresh.schedule import REJECTED_RETRY
from providers.registry import get_registry


def expire_rejected_token(row: Credential, now: dt.datetime, *, min_interval: int) -> None:
    """End the stored access token now. `row` is locked, and its health is as before the rejection.

    The next refresh comes `min_interval` seconds after the last one.
    """
    kind = get_registry().get_kind(row.kind)
    if kind is None or not kind.refreshes or row.refresh_state != ACTIVE:
        return
    next_at = now
    if row.health["status"] == "error":
        next_at = now + dt.timedelta(seconds=REJECTED_RETRY)
    elif row.refresh_last_at is not None:
        next_at = max(now, row.refresh_last_at + dt.timedelta(seconds=min_interval))
    properties = dict(row.properties)
    if "expires_at" in properties:
        properties["expires_at"] = format_rfc3339(now)
    Credential.objects.filter(id=row.id).update(
        expires_at=now,
        properties=properties,
        refresh_error=ACCESS_REJECTED,
        refresh_failures=Greatest("refresh_failures", 1),
        refresh_next_at=next_at,
    )
