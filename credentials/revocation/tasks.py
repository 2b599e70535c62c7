"""Telling providers that deleted credentials are no longer wanted: a source of the worker's.

RFC 7009 or the provider's own call (`oauth_apps.protocol.revoke`). It is tried for seven days, ever
less often; then, or once it is done, the sealed values are cleared.
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
from vault.sealing import Place, SealedValue, SecretUnavailableError, seal, unseal
from vault.secret import Secret

TOKEN_RETENTION: Final = dt.timedelta(days=7)
LEASE: Final = dt.timedelta(seconds=60)
"""Longer than the calls for two tokens, of at most 12 s each."""

FIRST_RETRY: Final = dt.timedelta(minutes=1)
LAST_RETRY: Final = dt.timedelta(hours=6)
ACTOR: Final = Actor(name="worker:revocations")

# No later try would go better.
_HOPELESS: Final = frozenset({"not_supported", "no_oauth", "no_app", "unsupported_token_type"})
_OTHER_TOKEN_MAY_DO: Final = frozenset({"unsupported_token_type"})

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
    """Tell the provider, and write down what came of it."""
    row = claim.filter_rows().select_related("oauth_app").first()
    if row is None:
        return
    if row.sealed is None:
        _end(row, claim, "")
        return
    try:
        tokens = _tokens(row, row.sealed)
    except SecretUnavailableError:
        _end(row, claim, "The stored tokens cannot be opened.")
        return
    if not tokens:
        _end(row, claim, "It holds no token that could be revoked.")
        return
    try:
        client = _client(row)
        _revoke(row, claim, client, tokens)
    except OAuth2Error as error:
        _put_off(row, claim, error)
        return
    _end(row, claim, None)


def next_due() -> dt.datetime | None:
    """When the next one is to be tried; None where there is none."""
    waiting = Revocation.objects.filter(done_at=None)
    found: dt.datetime | None = waiting.aggregate(at=Min("next_at"))["at"]
    return found


def _tokens(row: Revocation, sealed: SealedValue) -> dict[str, Secret]:
    values: dict[str, Any] = unseal(Place.of(row, "sealed"), sealed)
    return {name: Secret(values[name]) for name in TOKEN_FIELDS if values.get(name)}


def _revoke(
    row: Revocation, claim: Lease[Revocation], client: OAuthClient, tokens: Mapping[str, Secret]
) -> None:
    """End all tokens. Raises ProtocolError for the last that could not be."""
    own_call = client.oauth.revocation
    if own_call is not None and own_call.auth == "bearer":
        _revoke_by_itself(row, claim, client, tokens)
        return
    failure: OAuth2Error | None = None
    for hint, token in tokens.items():
        try:
            protocol.revoke_token(client, token=token, hint=hint)
        except OAuth2Error as error:
            failure = error
            if error.code not in _OTHER_TOKEN_MAY_DO:
                raise
        else:
            failure = None
    if failure is not None:
        raise failure


def _revoke_by_itself(
    row: Revocation, claim: Lease[Revocation], client: OAuthClient, tokens: Mapping[str, Secret]
) -> None:
    """Where the access token itself authorizes its end. One that has expired is made new for it."""
    if access := tokens.get("access_token"):
        try:
            protocol.revoke_token(client, token=access, hint="access_token")
            return
        except OAuth2Error as error:
            if error.code != "invalid_token" or "refresh_token" not in tokens:
                raise
    try:
        fresh = protocol.refresh_tokens(client, refresh_token=tokens["refresh_token"])
    except UserError:
        return  # The grant has ended already.
    # The refresh token may be used up by this: what replaced it is needed if the next call fails.
    kept = {"access_token": fresh.access_token.expose()}
    kept["refresh_token"] = (fresh.refresh_token or tokens["refresh_token"]).expose()
    claim.filter_rows().update(sealed=seal(Place.of(row, "sealed"), kept))
    protocol.revoke_token(client, token=fresh.access_token, hint="access_token")


def _client(row: Revocation) -> OAuthClient:
    if row.oauth_app is None:
        raise AppError("no_app", "The OAuth app is gone.", sent=False)
    return build_oauth_client(row.oauth_app, row.properties)


def _put_off(row: Revocation, claim: Lease[Revocation], error: OAuth2Error) -> None:
    now = db_now()
    if error.code in _HOPELESS or now - row.created_at >= TOKEN_RETENTION:
        _end(row, claim, error.detail)
        return
    wait = get_backoff(row.attempts, first=FIRST_RETRY, longest=LAST_RETRY)
    wait = max(wait, dt.timedelta(seconds=error.retry_after or 0))
    claim.settle(
        # Never beyond the day when the tokens are cleared.
        next_at=min(now + wait, row.created_at + TOKEN_RETENTION),
        lease_until=None,
        last_error=error.detail[:200],
    )


def _end(row: Revocation, claim: Lease[Revocation], failure: str | None) -> None:
    """Clear the tokens, for good; None: the provider has ended them. "": there was nothing to end."""
    with transaction.atomic():
        ended = claim.settle(
            sealed=None,
            done_at=DbNow(),
            lease_until=None,
            last_error=(failure or "")[:200],
        )
        if not ended or failure == "":
            return
        verb = "credential.revoked" if failure is None else "credential.revocation_failed"
        record_event(ACTOR, EventTarget("credential", row.account_id, row.credential_id), verb)
