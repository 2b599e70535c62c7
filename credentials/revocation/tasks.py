"""The worker's task that revokes the grants of deleted credentials at their providers.

It uses RFC 7009 or the provider's own call (`oauth_apps.protocol.revoke_token`). It tries for seven
days, less and less often; then, or once it has succeeded, the stored tokens are cleared.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Min

from common.actors import Actor
from common.backoff import get_backoff
from common.db.clock import DbNow, db_now
from common.leases import Lease, claim_rows
from credentials.models import Revocation
from credentials.revocation.policy import TOKEN_FIELDS
from events.services import EventTarget, record_event
from oauth_apps import protocol
from oauth_apps.client_config import build_oauth_client
from oauth_apps.protocol import AppError, OAuth2Error, OAuthClient, UserError
from vault.sealing import Place, SecretUnavailableError, seal, unseal
from vault.secret import Secret

TOKEN_RETENTION: Final = dt.timedelta(days=7)
# Longer than the calls for two tokens, of at most 12 s each.
LEASE: Final = dt.timedelta(seconds=60)
FIRST_RETRY: Final = dt.timedelta(minutes=1)
LAST_RETRY: Final = dt.timedelta(hours=6)
ACTOR: Final = Actor(name="worker:revocations")

# Errors that another try cannot change.
_PERMANENT: Final = frozenset({"not_supported", "no_oauth", "no_app", "unsupported_token_type"})

name = "revocations"


def claim(owner: str, limit: int) -> list[Lease[Revocation]]:
    """Claim at most `limit` due revocations for `owner`."""
    now = db_now()
    until = now + LEASE
    due = Revocation.objects.filter(done_at=None, next_at__lte=now)
    # The tokens are read when the work begins, not while it waits for a thread.
    rows = due.order_by("next_at").only("fencing_number")[:limit]
    return claim_rows(
        due, rows, owner=owner, until=until, lease_until=until, attempts=F("attempts") + 1
    )


def run(claim: Lease[Revocation]) -> None:
    """Revoke the grant at the provider and store the outcome."""
    row = claim.filter_rows().select_related("oauth_app").first()
    if row is None:
        return
    if row.sealed is None:
        # The credential had nothing to revoke, so there is no outcome to record.
        _finish(claim)
        return
    try:
        values: dict[str, Any] = unseal(Place.of(row, "sealed"), row.sealed)
    except SecretUnavailableError:
        _finish_and_record(row, claim, "The stored tokens cannot be decrypted.")
        return
    tokens = {name: Secret(values[name]) for name in TOKEN_FIELDS if values.get(name)}
    if not tokens:
        _finish_and_record(row, claim, "There is no token that could be revoked.")
        return
    try:
        if row.oauth_app is None:
            raise AppError("no_app", "The OAuth app was deleted.", sent=False)
        client = build_oauth_client(row.oauth_app, row.kind, row.properties)
        if client.oauth.revocation is not None and client.oauth.revocation.auth == "bearer":
            _revoke_by_bearer(row, claim, client, tokens)
        else:
            _revoke_all(client, tokens)
    except OAuth2Error as error:
        _reschedule(row, claim, error)
    else:
        _finish_and_record(row, claim, None)


def next_due() -> dt.datetime | None:
    """Return when the next revocation is due, or None if there is none."""
    due_at: dt.datetime | None = Revocation.objects.filter(done_at=None).aggregate(
        at=Min("next_at")
    )["at"]
    return due_at


def _revoke_all(client: OAuthClient, tokens: Mapping[str, Secret]) -> None:
    """Revoke each token. Raises OAuth2Error for the last one if it failed."""
    error: OAuth2Error | None = None
    for hint, token in tokens.items():
        error = None
        try:
            protocol.revoke_token(client, token=token, hint=hint)
        except OAuth2Error as problem:
            # A provider that cannot revoke this type of token may be able to revoke the other.
            if problem.code != "unsupported_token_type":
                raise
            error = problem
    if error is not None:
        raise error


def _revoke_by_bearer(
    row: Revocation, claim: Lease[Revocation], client: OAuthClient, tokens: Mapping[str, Secret]
) -> None:
    """Revoke the access token by a call that it authorizes itself; refresh it if it has expired."""
    if access_token := tokens.get("access_token"):
        try:
            protocol.revoke_token(client, token=access_token, hint="access_token")
            return
        except OAuth2Error as error:
            if error.code != "invalid_token" or "refresh_token" not in tokens:
                raise
    try:
        fresh = protocol.refresh_tokens(client, refresh_token=tokens["refresh_token"])
    except UserError:
        # The grant has already ended.
        return
    # The old refresh token may no longer work: if the next call fails, these are needed.
    secrets = {
        "access_token": fresh.access_token.expose(),
        "refresh_token": (fresh.refresh_token or tokens["refresh_token"]).expose(),
    }
    claim.filter_rows().update(sealed=seal(Place.of(row, "sealed"), secrets))
    protocol.revoke_token(client, token=fresh.access_token, hint="access_token")


def _reschedule(row: Revocation, claim: Lease[Revocation], error: OAuth2Error) -> None:
    """Try again later, or give up after TOKEN_RETENTION or a permanent error."""
    now = db_now()
    if error.code in _PERMANENT or now - row.created_at >= TOKEN_RETENTION:
        _finish_and_record(row, claim, error.detail)
        return
    delay = get_backoff(row.attempts, first=FIRST_RETRY, longest=LAST_RETRY)
    delay = max(delay, dt.timedelta(seconds=error.retry_after or 0))
    claim.settle(
        # The last try is on time to clear the tokens.
        next_at=min(now + delay, row.created_at + TOKEN_RETENTION),
        lease_until=None,
        last_error=error.detail[:200],
    )


def _finish(claim: Lease[Revocation], error: str = "") -> bool:
    """Clear the tokens for good. Return whether the lease was still ours."""
    return claim.settle(sealed=None, done_at=DbNow(), lease_until=None, last_error=error[:200])


def _finish_and_record(row: Revocation, claim: Lease[Revocation], error: str | None) -> None:
    """Clear the tokens and record the outcome; `error` is None if the provider revoked them."""
    with transaction.atomic():
        if _finish(claim, error or ""):
            verb = "credential.revoked" if error is None else "credential.revocation_failed"
            record_event(ACTOR, EventTarget("credential", row.account_id, row.credential_id), verb)
