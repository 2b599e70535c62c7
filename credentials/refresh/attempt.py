"""One attempt: from a claim to its outcome. The call runs without a transaction or a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError

from credentials.refresh import outcomes, spool
from credentials.refresh.circuit_breaker import Busy, limits
from credentials.refresh.errors import app_paused, needs_reauth, unavailable
from credentials.refresh.lease import renew
from credentials.refresh.token_update import renewal
from credentials.refresh.types import Claim, Fresh, opened, opened_previous
from oauth_apps import protocol
from oauth_apps.client_config import client_of, token_host
from oauth_apps.protocol import AppError, Client, ProtocolError, Tokens, TransientError, UserError
from providers.registry import registry
from vault.sealing import SecretUnavailable

log = structlog.get_logger(__name__)

# The provider's, or the way to it: not answers that refuse one request.
_SILENCE: Final = frozenset(
    {"timeout", "connection_lost", "unreachable", "server_error", "temporarily_unavailable"}
)


def run(claim: Claim) -> Fresh | None:
    """The new token, stored; None where the row went another way meanwhile: look again.

    Raises Conflict (`needs_reauth`), SecretUnavailable, or Unavailable with Retry-After, each after
    its outcome is written. Whatever happens, the lease ends.
    """
    try:
        held = opened(claim.row)
    except SecretUnavailable:
        outcomes.unopened(claim)
        raise
    try:
        tokens = _ask(claim, held)
    except Busy as busy:
        outcomes.later(claim, busy.retry_after)
        raise unavailable(busy.retry_after) from None
    except ProtocolError as error:
        return _settle(claim, error)
    return _keep(claim, tokens, held)


def _ask(claim: Claim, held: Mapping[str, str]) -> Tokens:
    try:
        client = _client(claim)
        app, host = f"app:{claim.row.oauth_app_id}", f"host:{token_host(client)}"
        with limits.slot(app, host):
            return _counted(claim, client, held, (app, host))
    except (ProtocolError, Busy):
        raise
    except (DatabaseError, InterfaceError) as error:
        # Only before a call is anything read from it.
        raise TransientError("database_away", "The database did not answer.", sent=False) from error
    except Exception as error:
        # A fault of ours must not leave the row to a lease that runs out, again and again.
        log.exception("refresh.fault", id=str(claim.row.id))
        raise TransientError("internal", "The refresh failed for a reason of our own.") from error


def _counted(
    claim: Claim, client: Client, held: Mapping[str, str], keys: tuple[str, str]
) -> Tokens:
    try:
        tokens = _call_or_previous(claim, client, held)
    except ProtocolError as error:
        if error.code in _SILENCE:
            limits.silent(*keys)
        else:
            limits.answered(*keys)
        raise
    limits.answered(*keys)
    return tokens


def _call_or_previous(claim: Claim, client: Client, held: Mapping[str, str]) -> Tokens:
    """With the grant that is held, or with the one before it where the provider still honours that."""
    try:
        return call(claim, client, held)
    except UserError as error:
        previous = _previous(claim) if error.code == "invalid_grant" else {}
        if not previous or not renew(claim):
            raise
        refusal = error
    log.info("refresh.previous_grant", id=str(claim.row.id))
    try:
        return call(claim, client, {**held, **previous})
    except UserError:
        raise refusal from None


def call(claim: Claim, client: Client, secrets: Mapping[str, str]) -> Tokens:
    """The one request."""
    kind = registry().kinds[claim.row.kind]
    return protocol.grant(client, kind, {**claim.row.properties, **secrets})


def _previous(claim: Claim) -> Mapping[str, Any]:
    """The grant before, if the provider says that a replaced one still works for some time."""
    row = claim.row
    provider = registry().provider(row.provider)
    grace = provider.oauth.refresh.grace_seconds if provider and provider.oauth else None
    if not grace or row.refresh_last_at is None:
        return {}
    if (claim.claimed_at - row.refresh_last_at).total_seconds() > grace:
        return {}
    try:
        return opened_previous(row)
    except SecretUnavailable:
        return {}


def _client(claim: Claim) -> Client:
    app = claim.row.oauth_app
    if app is None:
        raise AppError("no_app", "The credential has no OAuth app.", sent=False)
    return client_of(app, claim.row.properties)


def _keep(claim: Claim, tokens: Tokens, held: Mapping[str, str]) -> Fresh | None:
    new = renewal(claim, tokens, held)
    try:
        stored = outcomes.succeeded(claim, new)
    except Exception as error:
        # Whatever it is: the grant that this answer succeeds may be dead already.
        log.error("refresh.not_stored", id=str(claim.row.id), error=type(error).__name__)
        spool.keep(claim, new)
        raise unavailable(1) from None
    return new.fresh() if stored else None


def _settle(claim: Claim, error: ProtocolError) -> Fresh | None:
    """Write what the error means, and raise it in the caller's words; None if it no longer counts."""
    if isinstance(error, UserError):
        if error.code == "missing_token":
            outcomes.parked(claim)
            raise needs_reauth() from None
        if outcomes.refused(claim, error):
            raise needs_reauth() from None
    elif isinstance(error, AppError):
        if outcomes.app_refused(claim, error):
            raise app_paused(error.detail) from None
    elif outcomes.failed(claim, error):
        raise unavailable(error.retry_after or 1) from None
    return None
