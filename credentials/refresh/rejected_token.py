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
from credentials.core.locks import lock_grant
from credentials.models import Credential, Grant
from credentials.refresh.schedule import REJECTED_RETRY
from providers.registry import get_registry


def expire_rejected_token(row: Credential, now: dt.datetime, *, min_interval: int) -> None:
    """End the stored access token now. `row` is locked, and its health is as before the rejection.

    The next refresh comes `min_interval` seconds after the last one.
    """
    kind = get_registry().get_kind(row.kind)
    grant = lock_grant(row)
    if kind is None or not kind.refreshes or grant is None or grant.state != ACTIVE:
        return
    next_at = now
    if row.health["status"] == "error":
        next_at = now + dt.timedelta(seconds=REJECTED_RETRY)
    elif grant.last_at is not None:
        next_at = max(now, grant.last_at + dt.timedelta(seconds=min_interval))
    properties = dict(row.properties)
    if "expires_at" in properties:
        properties["expires_at"] = format_rfc3339(now)
    Credential.objects.filter(id=row.id).update(expires_at=now, properties=properties)
    Grant.objects.filter(id=grant.id).update(
        error=ACCESS_REJECTED, failures=Greatest("failures", 1), next_at=next_at
    )
