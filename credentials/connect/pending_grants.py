"""Grants that were obtained and are not yet credentials: stored, exchanged once, or revoked."""

from __future__ import annotations

import datetime as dt
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from django.db import transaction
from django.db.models import QuerySet

from common.actors import Actor
from common.db.clock import DbNow, db_now
from common.db.ids import uuid7
from common.errors import BadRequestError, UnauthenticatedError
from credentials.connect.audit import build_failure, record_unmatched_response
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.tokens import generate_token, hash_token, verify_code_challenge
from credentials.revocation.schedule import schedule_revocation
from events.services import EventTarget, record_event
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from vault.sealing import Place, seal, unseal
from vault.services import compute_fingerprint

LIFETIME: Final = dt.timedelta(minutes=10)
UNREADABLE_RETENTION: Final = dt.timedelta(days=7)
Status = PendingGrant.Status


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenRequest:
    """The body of `POST /link/oauth2/token`."""

    client_id: uuid.UUID
    client_secret: str
    code: str
    redirect_uri: str | None
    code_verifier: str | None


def grant_store(
    *, owner: Attempt | ConnectLink, kind: str, body: Mapping[str, Any], state: object = None
) -> str:
    """Store a grant for ten minutes, in the caller's transaction.

    Returns the code that an attempt's grant is exchanged for; it is of no use for a link's.
    """
    code = generate_token()
    attempt = owner if isinstance(owner, Attempt) else None
    row = PendingGrant(
        id=uuid7(),
        account_id=owner.account_id,
        oauth_app_id=owner.oauth_app_id,
        attempt=attempt,
        link=owner if isinstance(owner, ConnectLink) else None,
        kind=kind,
        code_digest=hash_token(code) if attempt else None,
        return_to=owner.return_to,
        challenge=attempt.challenge if attempt else "",
        expires_at=db_now() + LIFETIME,
    )
    row.sealed = seal(Place.of(row, "sealed"), {"body": body, "state": state})
    row.save(force_insert=True)
    return code


def grant_exchange(*, token_request: TokenRequest, actor: Actor) -> tuple[dict[str, Any], Any]:
    """Return the import body behind a code, with its real values, and the company's state.

    A code works once; its second use revokes the grant (RFC 6749 §4.1.2). Raises
    UnauthenticatedError (invalid_client) for a wrong app or secret, BadRequestError (invalid_grant)
    for a wrong code.
    """
    app = _authenticate_app(token_request, actor)
    with transaction.atomic():
        rows = PendingGrant.objects.select_for_update(of=("self",))
        row = rows.filter(code_digest=hash_token(token_request.code), oauth_app_id=app.id).first()
        if row is None:
            _raise_invalid_grant("The code is unknown, expired, or another app's.")
        # One of the two who had the code must have stolen it.
        is_replayed = row.status == Status.EXCHANGED
        if is_replayed:
            _revoke_grant(row, "replayed", "connect.replayed", actor)
        else:
            _check_token_request(row, token_request)
            waiting = PendingGrant.objects.filter(id=row.id, status=Status.WAITING)
            if not waiting.filter(expires_at__gt=DbNow()).update(status=Status.EXCHANGED):
                _raise_invalid_grant("The code is unknown, expired, or another app's.")
            value = unseal(Place.of(row, "sealed"), row.sealed)
            record_event(actor, _get_target(row), "connect.exchanged")
    # Raised outside of the transaction, which would otherwise undo the revocation.
    if is_replayed:
        _raise_invalid_grant("The code was used before. The grant is revoked.")
    return value["body"], value["state"]


def decrypt_grant_body(row: PendingGrant) -> dict[str, Any]:
    """Return the import body of a grant. Raises SecretUnavailableError."""
    body: dict[str, Any] = unseal(Place.of(row, "sealed"), row.sealed)["body"]
    return body


def grant_expire(*, id: uuid.UUID, actor: Actor) -> bool:
    """Revoke an expired grant, or delete it if its code was used; return whether there was one.

    Raises SecretUnavailableError if it cannot be decrypted.
    """
    with transaction.atomic():
        # Complete and withdraw lock the link before the grant: another order could deadlock.
        list(ConnectLink.objects.select_for_update(of=("self",)).filter(grant=id))
        rows = PendingGrant.objects.select_for_update(of=("self",))
        row = rows.filter(id=id, expires_at__lte=DbNow()).first()
        if row is None:
            return False
        if row.status == Status.EXCHANGED:
            row.delete()
            return True
        code = "not_completed" if row.link_id else "not_exchanged"
        _revoke_grant(row, code, "connect.expired", actor)
    return True


def grant_reschedule(*, id: uuid.UUID) -> None:
    """Try again in an hour to expire a grant that cannot be decrypted; delete it after a week."""
    rows = PendingGrant.objects.filter(id=id, expires_at__lte=DbNow())
    with transaction.atomic():
        # The link has expired all the same: it must not be completed when the key is back.
        _expire_pending_link(ConnectLink.objects.filter(grant=id), build_failure("not_completed"))
        rows.filter(created_at__lt=db_now() - UNREADABLE_RETENTION).delete()
        rows.update(code_digest=None, expires_at=db_now() + dt.timedelta(hours=1))


def grant_discard(*, row: PendingGrant, code: str, actor: Actor) -> None:
    """Revoke a grant that the company does not want, in the caller's transaction."""
    _revoke_grant(row, code, "connect.discarded", actor)


def _revoke_grant(row: PendingGrant, code: str, verb: str, actor: Actor) -> None:
    """Schedule the revocation, store the reason on the attempt or link, and delete the row."""
    body = decrypt_grant_body(row)
    kind = get_registry().get_kind(row.kind)
    if kind is not None:
        schedule_revocation(
            account_id=row.account_id,
            oauth_app_id=row.oauth_app_id,
            kind=kind,
            body=body,
            target_id=row.id,
            skip_if_connected=code != "replayed",
        )
    failure = build_failure(code)
    if row.attempt_id:
        Attempt.objects.filter(id=row.attempt_id).update(
            status=Attempt.Status.FAILED, failure=failure, updated_at=DbNow()
        )
    if row.link_id:
        _expire_pending_link(ConnectLink.objects.filter(id=row.link_id), failure)
    record_event(actor, _get_target(row), verb, [code])
    row.delete()


def _get_target(row: PendingGrant) -> EventTarget:
    if row.link_id:
        return EventTarget("connect_link", row.account_id, row.link_id)
    # The attempt may have been deleted since.
    return EventTarget("authorization_attempt", row.account_id, row.attempt_id or row.id)


def _expire_pending_link(links: QuerySet[ConnectLink], failure: dict[str, Any]) -> None:
    links.filter(status=ConnectLink.Status.PENDING).update(
        status=ConnectLink.Status.EXPIRED, failure=failure, updated_at=DbNow()
    )


def _authenticate_app(token_request: TokenRequest, actor: Actor) -> OAuthApp:
    app = OAuthApp.objects.filter(id=token_request.client_id).first()
    if app is not None:
        # Fingerprints are enough to compare, so no secret is decrypted.
        fingerprint = compute_fingerprint(app.account_id, token_request.client_secret)
        for stored in app.secrets.values_list("fingerprint", flat=True):
            if hmac.compare_digest(stored, fingerprint):
                return app
        record_unmatched_response(actor, app.account_id, app.id, "invalid_client")
    raise UnauthenticatedError(
        "client_id must be the id of an OAuth app here, and client_secret that app's secret.",
        extra={"error": "invalid_client"},
    )


def _check_token_request(row: PendingGrant, token_request: TokenRequest) -> None:
    """Compare with the request that the code was made for (RFC 6749 §4.1.3, RFC 7636 §4.6)."""
    redirect_uri, code_verifier = token_request.redirect_uri, token_request.code_verifier
    if redirect_uri is not None and redirect_uri != row.return_to:
        _raise_invalid_grant("redirect_uri is not the one that the code was sent to.")
    if code_verifier is None:
        if row.challenge:
            _raise_invalid_grant("code_verifier is missing: the flow began with a code_challenge.")
    # A verifier without a challenge means that an attacker removed the challenge (RFC 9700 §4.8.2).
    elif not verify_code_challenge(code_verifier, row.challenge):
        _raise_invalid_grant("code_verifier does not match the code_challenge.")


def _raise_invalid_grant(detail: str) -> NoReturn:
    raise BadRequestError(detail, extra={"error": "invalid_grant"})
