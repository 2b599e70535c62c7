"""One attempt to refresh a claimed grant. The call runs without a transaction or a connection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError

from credentials.core.encryption import decrypt_previous_grant, decrypt_secrets
from credentials.refresh import outcomes, spool, standby, token_storage
from credentials.refresh.app_pauses import needs_canary, rejects_canary
from credentials.refresh.circuit_breaker import ProviderBusyError, circuit_breaker
from credentials.refresh.errors import (
    AppPausedError,
    NeedsReauthError,
    ProviderUnavailableError,
    RefreshInProgressError,
)
from credentials.refresh.lease import fit_lease
from credentials.refresh.provider_calls import ProviderCall
from credentials.refresh.schedule import CALL_SECONDS
from credentials.refresh.token_update import build_token_update
from credentials.refresh.types import AccessToken, RefreshClaim
from credentials.restore.journal import append_refresh
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
from oauth_apps.protocol.types import TIMEOUTS
from providers.registry import get_registry
from vault.sealing import SecretUnavailableError

log = structlog.get_logger(__name__)

CALLER_PATIENCE: Final = 12.0
"""Seconds that a caller waits for a response."""

REFRESH_TIMEOUTS: Final = replace(TIMEOUTS, total=CALL_SECONDS)

# Failures of the provider or of the network, which count for the circuit breaker. Others reject one
# request and show that the provider is there.
_NO_RESPONSE: Final = frozenset(
    {"timeout", "connection_lost", "unreachable", "server_error", "temporarily_unavailable"}
)


def run_attempt(claim: RefreshClaim, *, patience: float = CALLER_PATIENCE) -> AccessToken | None:
    """Refresh the grant, store the outcome and return the new token.

    Returns None if the row has changed in the meantime: read it again. Raises NeedsReauthError,
    SecretUnavailableError, AppPausedError or ProviderUnavailableError after the outcome is stored.
    Raises RefreshInProgressError if the provider has not responded after `patience` seconds: the
    request goes on, and its outcome is stored without the caller.
    """
    claim = fit_lease(claim)
    try:
        secrets = decrypt_secrets(claim.row)
    except SecretUnavailableError:
        outcomes.store_undecryptable(claim)
        raise
    try:
        app = claim.row.oauth_app
        if app is None:
            raise AppError("no_app", "The credential has no OAuth app.", sent=False)
        # The app's secrets are read here: the thread of the request has no database connection.
        client = replace(
            build_oauth_client(app, claim.row.kind, claim.row.properties), timeouts=REFRESH_TIMEOUTS
        )
        keys = f"app:{app.id}", f"host:{get_token_host(client)}"
        call = ProviderCall(
            claim, lambda: call_with_previous(claim, client, secrets, keys=keys), keys
        )
    except Exception as error:
        return _store_exception(claim, error)
    if call.wait(patience):
        try:
            return _settle(claim, secrets, call)
        finally:
            call.finish()
    call.hand_over(lambda: _settle(claim, secrets, call))
    raise RefreshInProgressError()


def _settle(
    claim: RefreshClaim, secrets: Mapping[str, str], call: ProviderCall
) -> AccessToken | None:
    """Store what came of the call. Raises what `run_attempt` does."""
    try:
        tokens = call.future.result()
    except Exception as error:
        return _store_exception(claim, error)
    update = build_token_update(claim, tokens, secrets)
    try:
        stored = token_storage.store_success(claim, update)
    except Exception as error:
        # Whatever went wrong: the provider may have ended the grant that this response replaces.
        log.error("refresh.not_stored", id=str(claim.row.id), error=type(error).__name__)
        spool.write_spool_file(claim, update)
        raise ProviderUnavailableError(1) from None
    if not stored:
        return None
    append_refresh(claim.row.id, claim.generation + 1, claim.claimed_at)
    standby.keep_response(claim, update)
    return update.to_access_token()


def call_with_previous(
    claim: RefreshClaim, client: OAuthClient, secrets: Mapping[str, str], *, keys: tuple[str, str]
) -> TokenResponse:
    """Call the provider with the stored grant, then with the previous one if that is rejected.

    Raises OAuth2Error, or ProviderBusyError if no slot is free.
    """
    started_at = time.monotonic()
    with circuit_breaker.slot(*keys, is_urgent=claim.is_within_grace()):
        try:
            try:
                tokens = call_provider(claim, client, secrets)
            except UserError as rejection:
                previous = _get_previous_grant(claim) if rejection.code == "invalid_grant" else {}
                if not previous:
                    raise
                log.info("refresh.previous_grant", id=str(claim.row.id))
                try:
                    tokens = call_provider(claim, client, {**secrets, **previous})
                except UserError:
                    raise rejection from None
        except OAuth2Error as error:
            if error.code in _NO_RESPONSE:
                circuit_breaker.record_failure(*keys)
            else:
                circuit_breaker.record_response(*keys, seconds=time.monotonic() - started_at)
            raise
        circuit_breaker.record_response(*keys, seconds=time.monotonic() - started_at)
        return tokens


def call_provider(
    claim: RefreshClaim, client: OAuthClient, secrets: Mapping[str, str]
) -> TokenResponse:
    """Send the one request. Raises OAuth2Error."""
    kind = get_registry().kinds[claim.row.kind]
    return protocol.request_access_token(client, kind, {**claim.row.properties, **secrets})


def _get_previous_grant(claim: RefreshClaim) -> Mapping[str, str]:
    """Return the grant before this one while its provider still accepts it, otherwise {}."""
    last_at, grace_seconds = claim.grant.last_at, claim.grace_seconds
    if not grace_seconds or last_at is None:
        return {}
    if (claim.claimed_at - last_at).total_seconds() > grace_seconds:
        return {}
    try:
        return decrypt_previous_grant(claim.grant)
    except SecretUnavailableError:
        return {}


def _store_exception(claim: RefreshClaim, error: Exception) -> AccessToken | None:
    """Store an outcome that is no token, and raise it as the caller's error."""
    if isinstance(error, ProviderBusyError):
        if error.is_circuit_open:
            outcomes.store_open_circuit(claim, error.retry_after)
        else:
            outcomes.reschedule_claim(claim, error.retry_after)
        raise ProviderUnavailableError(error.retry_after) from None
    if isinstance(error, OAuth2Error):
        return _store_error(claim, error)
    if isinstance(error, DatabaseError | InterfaceError):
        # The database is read only before the request, so no request was sent.
        detail = "The database did not respond."
        return _store_error(claim, TransientError("database_away", detail, sent=False))
    # Otherwise a bug would leave the row to a lease that expires, again and again.
    log.error("refresh.fault", id=str(claim.row.id), exc_info=error)
    detail = "The refresh failed because of an internal error."
    return _store_error(claim, TransientError("internal", detail))


def _store_error(claim: RefreshClaim, error: OAuth2Error) -> AccessToken | None:
    """Store the outcome and raise it as the caller's error. Return None if the row has changed."""
    if isinstance(error, UserError):
        if error.code == "missing_token":
            outcomes.store_missing_refresh_token(claim)
            raise NeedsReauthError() from None
        if outcomes.store_rejection(claim, error):
            raise NeedsReauthError() from None
    elif isinstance(error, AppError):
        canary_rejected = needs_canary(claim) and rejects_canary(claim)
        rejection = outcomes.store_app_rejection(claim, error, canary_rejected=canary_rejected)
        if rejection and rejection.app_is_paused:
            raise AppPausedError(error.detail, rejection.retry_after) from None
        if rejection:
            raise ProviderUnavailableError(rejection.retry_after) from None
    else:
        wait = outcomes.store_failure(claim, error)
        if wait is not None:
            raise ProviderUnavailableError(wait) from None
    return None
