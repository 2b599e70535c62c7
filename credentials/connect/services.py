"""Every write of connect links, attempts, pending grants and settings."""

from credentials.connect.authorization_attempts import (
    attempt_begin,
    attempt_begin_by_token,
    attempt_claim,
    attempt_fail,
    attempt_grant,
    attempt_prepare,
    attempts_expire,
)
from credentials.connect.links import (
    link_cancel,
    link_claim,
    link_complete,
    link_create,
    link_expire,
    link_store_grant,
    link_submit,
    link_withdraw,
)
from credentials.connect.pending_grants import (
    grant_discard,
    grant_exchange,
    grant_expire,
    grant_reschedule,
    grant_store,
)
from credentials.connect.settings import settings_update

__all__ = [
    "attempt_begin",
    "attempt_begin_by_token",
    "attempt_claim",
    "attempt_fail",
    "attempt_grant",
    "attempt_prepare",
    "attempts_expire",
    "grant_discard",
    "grant_exchange",
    "grant_expire",
    "grant_reschedule",
    "grant_store",
    "link_cancel",
    "link_claim",
    "link_complete",
    "link_create",
    "link_expire",
    "link_store_grant",
    "link_submit",
    "link_withdraw",
    "settings_update",
]
