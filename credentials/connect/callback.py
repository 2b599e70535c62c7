"""From the provider's answer to a grant that is held: the calls out, and what becomes of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError, transaction

from common.actors import Actor
from common.datetimes import format_rfc3339
from common.db.clock import DbNow, db_now
from common.errors import ServiceError
from common.text import escape_name
from credentials.connect import links
from credentials.connect.authorization_attempts import ClaimedAttempt, attempt_fail, draft_of
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest
from credentials.connect.identity import collect_properties
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.pending_grants import grant_store
from credentials.imports.validation import validate_item
from credentials.revocation.schedule import schedule_revocation
from egress import EgressError
from events.services import EventTarget, record_event
from oauth_apps.client_config import build_oauth_client
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    OAuthClient,
    TokenResponse,
    build_authorization_error,
    exchange_code,
)
from vault.secret import Secret

_OUTAGES: Final = frozenset(
    {"server_error", "temporarily_unavailable", "rate_limited", "unreadable_answer"}
    | {"unreachable", "timeout", "connection_lost", "answer_too_large", "identity_unavailable"}
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StoredGrant:
    """A grant that waits: `code` fetches it (of no use for a link's)."""

    code: str
    state: Any
    attempt: Attempt


def record_provider_error(returned: ClaimedAttempt, error: str, actor: Actor) -> ConnectError:
    """The provider's `error` instead of a code, noted; what to show for it."""
    found = build_authorization_error(error)
    code = _code(found)
    attempt_fail(attempt=returned.attempt, code=code, detail=found.detail, actor=actor)
    return ConnectError(code, "" if code == "access_denied" else found.detail)


def record_missing_code(returned: ClaimedAttempt, actor: Actor) -> ConnectError:
    """Neither a code nor an error came."""
    detail = "The provider's answer has no code."
    attempt_fail(attempt=returned.attempt, code="provider_refused", detail=detail, actor=actor)
    return ConnectError("provider_refused")


def record_withdrawn_return_url(returned: ClaimedAttempt, actor: Actor) -> ConnectError:
    """The address to return to is none of the company's any more: the code is left to expire."""
    detail = "The address to return to was withdrawn meanwhile."
    attempt_fail(attempt=returned.attempt, code="redirect_refused", detail=detail, actor=actor)
    return ConnectError("redirect_refused")


def obtain_grant(
    returned: ClaimedAttempt, code: str, callback: Mapping[str, str], actor: Actor
) -> StoredGrant:
    """Exchange the code, find out whose grant it is, and hold it. Raises Refusal, all of it noted."""
    attempt = returned.attempt
    try:
        draft, now = draft_of(attempt), db_now()
        client = build_oauth_client(draft.app, draft.properties)
        tokens = exchange_code(
            client,
            code=Secret(code),
            redirect_uri=attempt.callback,
            verifier=returned.verifier,
        )
        body = _body(draft, client, tokens, callback, attempt, now)
    except (ConnectError, OAuth2Error, EgressError, ServiceError) as error:
        raise _failed(attempt, error, actor) from None
    return _hold(draft, returned, tokens, body, actor)


def _body(
    draft: FlowRequest,
    client: OAuthClient,
    tokens: TokenResponse,
    callback: Mapping[str, str],
    attempt: Attempt,
    now: dt.datetime,
) -> dict[str, Any]:
    """What is to be imported. Whatever is wrong with it, the grant is given back."""
    body: dict[str, Any] = {"properties": _known(draft, tokens), "oauth_app_id": str(draft.app.id)}
    if draft.external_id:
        body["external_id"] = draft.external_id
    try:
        body["properties"] = collect_properties(draft, client, tokens, callback=callback, now=now)
        body |= _own(draft, body["properties"])
        item = validate_item(body, account_id=draft.app.account_id)
        if item.missing_secrets:
            raise ConnectError("answer_incomplete", _lacks(item.missing_secrets))
        if attempt.link is not None:
            links.check_same_account(attempt.link, item)
    except (ConnectError, OAuth2Error, EgressError, ServiceError):
        _revoke(draft, body, attempt.id)
        raise
    return body


def _known(draft: FlowRequest, tokens: TokenResponse) -> dict[str, Any]:
    """The tokens alone: enough to revoke them."""
    secrets = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    named = {n: s.expose() for n, s in secrets.items() if s and n in draft.kind.secret_fields}
    if not named and len(draft.kind.secret_fields) == 1:
        named = {draft.kind.secret_fields[0]: tokens.access_token.expose()}
    return {"kind": draft.kind.name, **draft.properties, **named}


def _own(draft: FlowRequest, properties: dict[str, Any]) -> dict[str, Any]:
    """The credential's own fields that the provider's answer had: they are no properties."""
    own = {}
    if "owner_email" in properties and "owner_email" not in draft.kind.schema["properties"]:
        own["owner_email"] = properties.pop("owner_email")
    return own


def _lacks(names: tuple[str, ...]) -> str:
    """Most often a refresh token, because offline access was not asked for or not given again."""
    return f"The provider's answer has no {' and no '.join(names)}."


def _hold(
    draft: FlowRequest,
    returned: ClaimedAttempt,
    tokens: TokenResponse,
    body: dict[str, Any],
    actor: Actor,
) -> StoredGrant:
    attempt = returned.attempt
    try:
        with transaction.atomic():
            Attempt.objects.filter(id=attempt.id).update(
                status=Attempt.Status.GRANTED, updated_at=DbNow()
            )
            record_event(
                actor,
                EventTarget("authorization_attempt", attempt.account_id, attempt.id),
                "connect.granted",
            )
            code = ""
            if attempt.link is None:
                code = grant_store(
                    attempt=attempt,
                    link=None,
                    kind=draft.kind.name,
                    body=body,
                    state=returned.state,
                )
            else:
                body["obtained_at"] = format_rfc3339(db_now())
                links.link_store_grant(
                    link=attempt.link, body=body, notes=_notes(draft, tokens), actor=actor
                )
    except IntegrityError:
        if OAuthApp.objects.filter(id=draft.app.id).exists():
            raise
        # It was deleted meanwhile, and with it whatever could revoke the grant.
        raise _failed(
            attempt, ConnectError("app_rejected", "The OAuth app is gone."), actor
        ) from None
    except (ConnectError, ServiceError) as error:
        # Many providers end all grants of a user with one: a second tab must not end the first's.
        if attempt.link is None or not links.has_grant_of_same_account(attempt.link, body):
            _revoke(draft, body, attempt.id)
        raise _failed(attempt, error, actor) from None
    return StoredGrant(code=code, state=returned.state, attempt=attempt)


def _notes(draft: FlowRequest, tokens: TokenResponse) -> list[str]:
    """Where other scopes were given than were asked for (RFC 6749 §5.1: absent means the same)."""
    if not tokens.scope:
        return []
    given = set(tokens.scope.replace(",", " ").split())
    less = sorted(set(draft.scopes) - given)
    more = sorted(given - set(draft.scopes)) if draft.scopes else []
    notes = []
    if less:
        notes.append(f"Not given, though asked for: {_listed(less)}.")
    if more:
        notes.append(f"Given without being asked for: {_listed(more)}.")
    return notes


def _listed(scopes: list[str]) -> str:
    return ", ".join(escape_name(scope) for scope in scopes[:20])


def _revoke(draft: FlowRequest, body: dict[str, Any], target_id: uuid.UUID) -> None:
    with transaction.atomic():
        schedule_revocation(
            account_id=draft.app.account_id,
            oauth_app_id=draft.app.id,
            kind=draft.kind,
            body=body,
            target_id=target_id,
        )


def _failed(attempt: Attempt, error: Exception, actor: Actor) -> ConnectError:
    """The page of `error`, which was noted."""
    refusal = error if isinstance(error, ConnectError) else _refusal(error)
    attempt_fail(attempt=attempt, code=refusal.code, detail=refusal.detail, actor=actor)
    return refusal


def _refusal(error: Exception) -> ConnectError:
    if isinstance(error, OAuth2Error):
        return ConnectError(_code(error), error.detail)
    if isinstance(error, EgressError):
        return ConnectError("provider_unavailable", "The provider does not answer.")
    detail = error.detail if isinstance(error, ServiceError) else ""
    return ConnectError("answer_incomplete", detail)


def _code(error: OAuth2Error) -> str:
    """The page for it: what nobody can help, what the company must put right, and all else."""
    if error.code == "access_denied":
        return "access_denied"
    if error.code in _OUTAGES:
        return "provider_unavailable"
    return "app_rejected" if isinstance(error, AppError) else "provider_refused"
