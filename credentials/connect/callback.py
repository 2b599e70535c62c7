"""The callback's work: exchange the code, find out whose account it is, and store the grant."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction

from common.actors import Actor
from common.datetimes import format_rfc3339
from common.db.clock import db_now
from common.errors import ServiceError
from common.text import escape_name
from credentials.connect.authorization_attempts import ClaimedAttempt, attempt_fail, attempt_grant
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest
from credentials.connect.identity import collect_properties
from credentials.connect.links import (
    check_same_account,
    has_grant_of_same_account,
    link_store_grant,
)
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.pending_grants import grant_store
from credentials.core.token_properties import get_unlisted_scopes
from credentials.imports.validation import validate_item
from credentials.revocation.schedule import schedule_revocation
from egress import EgressError
from oauth_apps.client_config import build_oauth_client
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    OAuthClient,
    TokenResponse,
    build_authorization_error,
    exchange_code,
    verify_callback,
)
from providers.registry import get_registry
from vault.secret import Secret

_OUTAGES: Final = frozenset(
    {"server_error", "temporarily_unavailable", "rate_limited", "unreadable_answer"}
    | {"unreachable", "timeout", "connection_lost", "answer_too_large", "identity_unavailable"}
)
MAX_LISTED_SCOPES: Final = 20


def record_provider_error(claimed: ClaimedAttempt, error: str, actor: Actor) -> ConnectError:
    """Fail the attempt with the `error` parameter of the response, and return the page's error."""
    oauth_error = build_authorization_error(error)
    code = _get_error_code(oauth_error)
    attempt_fail(attempt=claimed.attempt, code=code, detail=oauth_error.detail, actor=actor)
    return ConnectError(code, "" if code == "access_denied" else oauth_error.detail)


def record_missing_code(claimed: ClaimedAttempt, actor: Actor) -> ConnectError:
    """Fail an attempt whose response has neither code nor error, and return the page's error."""
    detail = "The provider's response has no code."
    attempt_fail(attempt=claimed.attempt, code="provider_refused", detail=detail, actor=actor)
    return ConnectError("provider_refused")


def record_withdrawn_return_url(claimed: ClaimedAttempt, actor: Actor) -> ConnectError:
    """Fail an attempt whose return URL was withdrawn, and return the page's error.

    The code is left to expire at the provider.
    """
    code = "redirect_refused"
    attempt_fail(attempt=claimed.attempt, code=code, detail="", actor=actor)
    return ConnectError(code)


def obtain_grant(
    claimed: ClaimedAttempt, code: str, callback: Mapping[str, str], actor: Actor
) -> str:
    """Exchange the code and store the grant. Return our own code, which a link has no use for.

    Raises ConnectError, after the attempt has failed with the reason.
    """
    attempt = claimed.attempt
    try:
        flow, now = FlowRequest.from_row(attempt), db_now()
        client = build_oauth_client(flow.app, flow.kind.name, flow.properties)
        # Before the code is spent: a forged response must not use it up.
        verify_callback(client, callback)
        tokens = exchange_code(
            client, code=Secret(code), redirect_uri=attempt.callback, verifier=claimed.verifier
        )
        body = _build_import_body(flow, client, tokens, callback, attempt, now)
    except (ConnectError, OAuth2Error, EgressError, ServiceError) as error:
        raise _fail(attempt, error, actor) from None
    try:
        with transaction.atomic():
            if attempt.link is None:
                own_code = grant_store(
                    owner=attempt, kind=flow.kind.name, body=body, state=claimed.state
                )
                attempt_grant(claimed=claimed, code=own_code, actor=actor)
                return own_code
            attempt_grant(claimed=claimed, code="", actor=actor)
            body["obtained_at"] = format_rfc3339(db_now())
            notes = _describe_scope_difference(flow, tokens)
            link_store_grant(link=attempt.link, body=body, notes=notes, actor=actor)
            return ""
    except IntegrityError:
        if OAuthApp.objects.filter(id=flow.app.id).exists():
            raise
        # The app was deleted during the exchange, and with it the means to revoke the grant.
        gone = ConnectError("app_rejected", "The OAuth app was deleted.")
        raise _fail(attempt, gone, actor) from None
    except (ConnectError, ServiceError) as error:
        # Many providers revoke all grants of a user at once, so a failure in a second tab must not
        # revoke the grant of the first.
        if attempt.link is None or not has_grant_of_same_account(attempt.link, body):
            _revoke(flow, body, attempt.id)
        raise _fail(attempt, error, actor) from None


def _build_import_body(
    flow: FlowRequest,
    client: OAuthClient,
    tokens: TokenResponse,
    callback: Mapping[str, str],
    attempt: Attempt,
    now: dt.datetime,
) -> dict[str, Any]:
    """Return the body to import. If anything is wrong with it, schedules the grant's revocation."""
    body: dict[str, Any] = {
        "properties": {"kind": flow.kind.name, **flow.properties, **_get_secrets(flow, tokens)},
        "oauth_app_id": str(flow.app.id),
    }
    if flow.external_id:
        body["external_id"] = flow.external_id
    try:
        properties = collect_properties(flow, client, tokens, callback=callback, now=now)
        body["properties"] = properties
        # The owner's address is a field of the credential, unless the kind has a property for it.
        if "owner_email" in properties and "owner_email" not in flow.kind.schema["properties"]:
            body["owner_email"] = properties.pop("owner_email")
        item = validate_item(body, account_id=flow.app.account_id)
        if item.missing_secrets:
            # Most often the refresh token, because the app did not request offline access.
            missing = " and no ".join(item.missing_secrets)
            raise ConnectError("answer_incomplete", f"The provider's response has no {missing}.")
        if attempt.link is not None:
            check_same_account(attempt.link, item)
    except (ConnectError, OAuth2Error, EgressError, ServiceError):
        _revoke(flow, body, attempt.id)
        raise
    return body


def _get_secrets(flow: FlowRequest, tokens: TokenResponse) -> dict[str, str]:
    """Return the tokens by the kind's property names: enough to revoke the grant."""
    fields = flow.kind.secret_fields
    by_name = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    secrets = {name: token.expose() for name, token in by_name.items() if token and name in fields}
    if not secrets and len(fields) == 1:
        # A kind may name its only token differently (Stripe's `secret`).
        secrets = {fields[0]: tokens.access_token.expose()}
    return secrets


def _describe_scope_difference(flow: FlowRequest, tokens: TokenResponse) -> list[str]:
    # RFC 6749 §5.1: without `scope`, the granted scopes are those that were requested.
    if not tokens.scope:
        return []
    granted = set(tokens.scope.replace(",", " ").split())
    unlisted = get_unlisted_scopes(get_registry().get_oauth(flow.kind.name))
    missing = sorted(set(flow.scopes) - granted - unlisted)
    extra = sorted(granted - set(flow.scopes)) if flow.scopes else []
    return [
        f"{label}: {', '.join(escape_name(scope) for scope in scopes[:MAX_LISTED_SCOPES])}."
        for label, scopes in (
            ("Requested but not granted", missing),
            ("Granted but not requested", extra),
        )
        if scopes
    ]


def _revoke(flow: FlowRequest, body: dict[str, Any], target_id: uuid.UUID) -> None:
    with transaction.atomic():
        schedule_revocation(
            account_id=flow.app.account_id,
            oauth_app_id=flow.app.id,
            kind=flow.kind,
            body=body,
            target_id=target_id,
        )


def _fail(attempt: Attempt, error: Exception, actor: Actor) -> ConnectError:
    """Fail the attempt because of `error`, and return the page's error."""
    if isinstance(error, ConnectError):
        connect_error = error
    elif isinstance(error, OAuth2Error):
        connect_error = ConnectError(_get_error_code(error), error.detail)
    elif isinstance(error, EgressError):
        connect_error = ConnectError("provider_unavailable", "The provider does not respond.")
    else:
        detail = error.detail if isinstance(error, ServiceError) else ""
        connect_error = ConnectError("answer_incomplete", detail)
    attempt_fail(attempt=attempt, code=connect_error.code, detail=connect_error.detail, actor=actor)
    return connect_error


def _get_error_code(error: OAuth2Error) -> str:
    """Return the code of the page: an outage, the company's mistake, or anything else."""
    if error.code == "access_denied":
        return "access_denied"
    if error.code in _OUTAGES:
        return "provider_unavailable"
    return "app_rejected" if isinstance(error, AppError) else "provider_refused"
