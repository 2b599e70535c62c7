"""One attempt: from a claim to its outcome. The call runs without a transaction or a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError

from credentials.core.encryption import decrypt_secrets
from credentials.refresh import outcomes, spool
from credentials.refresh.circuit_breaker import ProviderBusyError, circuit_breaker
from credentials.refresh.errors import AppPausedError, NeedsReauthError, ProviderUnavailableError
from credentials.refresh.lease import extend_lease
from credentials.refresh.token_update import build_token_update
from credentials.refresh.types import (
    AccessToken,
    RefreshClaim,
    decrypt_previous_grant,
)
from oauth_apps import protocol
from oauth_apps.client_config import build_oauth_client, get_token_host
from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    OAuthClient,
    TokenResponse,
    TransientError,
    UserError,
)
from providers.registry import get_registry
from vault.sealing import SecretUnavailableError

log = structlog.get_logger(__name__)

# The provider's, or the way to it: not answers that refuse one request.
_SILENCE: Final = frozenset(
    {"timeout", "connection_lost", "unreachable", "server_error", "temporarily_unavailable"}
)


def run_attempt(claim: RefreshClaim) -> AccessToken | None:
    """The new token, stored; None where the row went another way meanwhile: look again.

    Raises Conflict (`needs_reauth`), SecretUnavailable, or Unavailable with Retry-After, each after
    its outcome is written. Whatever happens, the lease ends.
    """
    try:
        held = decrypt_secrets(claim.row)
    except SecretUnavailableError:
        outcomes.store_undecryptable(claim)
        raise
    try:
        tokens = _ask(claim, held)
    except ProviderBusyError as busy:
        outcomes.reschedule_claim(claim, busy.retry_after)
        raise ProviderUnavailableError(busy.retry_after) from None
    except OAuth2Error as error:
        return _settle(claim, error)
    return _keep(claim, tokens, held)


def _ask(claim: RefreshClaim, held: Mapping[str, str]) -> TokenResponse:
    try:
        client = _client(claim)
        app, host = f"app:{claim.row.oauth_app_id}", f"host:{get_token_host(client)}"
        with circuit_breaker.slot(app, host):
            return _counted(claim, client, held, (app, host))
    except (OAuth2Error, ProviderBusyError):
        raise
    except (DatabaseError, InterfaceError) as error:
        # Only before a call is anything read from it.
        raise TransientError("database_away", "The database did not answer.", sent=False) from error
    except Exception as error:
        # A fault of ours must not leave the row to a lease that runs out, again and again.
        log.exception("refresh.fault", id=str(claim.row.id))
        raise TransientError("internal", "The refresh failed for a reason of our own.") from error


def _counted(
    claim: RefreshClaim, client: OAuthClient, held: Mapping[str, str], keys: tuple[str, str]
) -> TokenResponse:
    try:
        tokens = _call_or_previous(claim, client, held)
    except OAuth2Error as error:
        if error.code in _SILENCE:
            circuit_breaker.record_failure(*keys)
        else:
            circuit_breaker.record_response(*keys)
        raise
    circuit_breaker.record_response(*keys)
    return tokens


def _call_or_previous(
    claim: RefreshClaim, client: OAuthClient, held: Mapping[str, str]
) -> TokenResponse:
    """With the grant that is held, or with the one before it where the provider still honours that."""
    try:
        return call_provider(claim, client, held)
    except UserError as error:
        previous = _previous(claim) if error.code == "invalid_grant" else {}
        if not previous or not extend_lease(claim):
            raise
        refusal = error
    log.info("refresh.previous_grant", id=str(claim.row.id))
    try:
        return call_provider(claim, client, {**held, **previous})
    except UserError:
        raise refusal from None


def call_provider(
    claim: RefreshClaim, client: OAuthClient, secrets: Mapping[str, str]
) -> TokenResponse:
    """The one request."""
    kind = get_registry().kinds[claim.row.kind]
    return protocol.request_access_token(client, kind, {**claim.row.properties, **secrets})


def _previous(claim: RefreshClaim) -> Mapping[str, Any]:
    """The grant before, if the provider says that a replaced one still works for some time."""
    row = claim.row
    provider = get_registry().get_provider(row.provider)
    grace = provider.oauth.refresh.grace_seconds if provider and provider.oauth else None
    if not grace or row.refresh_last_at is None:
        return {}
    if (claim.claimed_at - row.refresh_last_at).total_seconds() > grace:
        return {}
    try:
        return decrypt_previous_grant(row)
    except SecretUnavailableError:
        return {}


def _client(claim: RefreshClaim) -> OAuthClient:
    app = claim.row.oauth_app
    if app is None:
        raise AppError("no_app", "The credential has no OAuth app.", sent=False)
    return build_oauth_client(app, claim.row.properties)


def _keep(
    claim: RefreshClaim, tokens: TokenResponse, held: Mapping[str, str]
) -> AccessToken | None:
    new = build_token_update(claim, tokens, held)
    try:
        stored = outcomes.store_success(claim, new)
    except Exception as error:
        # Whatever it is: the grant that this answer succeeds may be dead already.
        log.error("refresh.not_stored", id=str(claim.row.id), error=type(error).__name__)
        spool.write_spool_file(claim, new)
        raise ProviderUnavailableError(1) from None
    return new.to_access_token() if stored else None


def _settle(claim: RefreshClaim, error: OAuth2Error) -> AccessToken | None:
    """Write what the error means, and raise it in the caller's words; None if it no longer counts."""
    if isinstance(error, UserError):
        if error.code == "missing_token":
            outcomes.store_missing_refresh_token(claim)
            raise NeedsReauthError() from None
        if outcomes.store_rejection(claim, error):
            raise NeedsReauthError() from None
    elif isinstance(error, AppError):
        if outcomes.store_app_rejection(claim, error):
            raise AppPausedError(error.detail) from None
    elif outcomes.store_failure(claim, error):
        raise ProviderUnavailableError(error.retry_after or 1) from None
    return None
