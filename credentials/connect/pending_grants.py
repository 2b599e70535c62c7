"""Grants that were obtained and are nobody's yet: held, fetched once, or given back."""

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
from credentials.connect.audit import build_failure
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
    """What `POST /link/oauth2/token` was sent."""

    client_id: uuid.UUID
    client_secret: str
    code: str
    redirect_uri: str | None
    code_verifier: str | None


def grant_store(
    *,
    attempt: Attempt | None,
    link: ConnectLink | None,
    kind: str,
    body: Mapping[str, Any],
    state: Any = None,
) -> str:
    """Within the caller's transaction: keep a grant for ten minutes; the code that fetches it."""
    code = generate_token()
    owner: Any = attempt or link
    row = PendingGrant(
        id=uuid7(),
        account_id=owner.account_id,
        oauth_app_id=owner.oauth_app_id,
        attempt=attempt,
        link=link,
        kind=kind,
        code_digest=None if link else hash_token(code),
        return_to=owner.return_to,
        challenge=attempt.challenge if attempt else "",
        expires_at=db_now() + LIFETIME,
    )
    row.sealed = seal(Place.of(row, "sealed"), {"body": body, "state": state})
    row.save(force_insert=True)
    return code


def grant_exchange(*, token_request: TokenRequest, actor: Actor) -> tuple[dict[str, Any], Any]:
    """The import body behind a code, with its real values, and the company's state: once.

    Raises Unauthenticated (invalid_client) where the app or its secret is wrong, BadRequest
    (invalid_grant) where the code is. The second use of a code revokes the grant (RFC 6749 §4.1.2),
    as one of the two who had it must have stolen it.
    """
    app = _authenticated(token_request)
    replayed = False
    with transaction.atomic():
        rows = PendingGrant.objects.select_for_update(of=("self",))
        row = rows.filter(code_digest=hash_token(token_request.code), oauth_app_id=app.id).first()
        if row is None:
            _invalid_grant("The code is unknown, expired, or another app's.")
        if row.status == Status.TAKEN:
            replayed = True
            _give_back(row, "replayed", "connect.replayed", actor)
        else:
            _check(row, token_request)
            taken = PendingGrant.objects.filter(
                id=row.id, status=Status.WAITING, expires_at__gt=DbNow()
            ).update(status=Status.TAKEN)
            if not taken:
                _invalid_grant("The code is unknown, expired, or another app's.")
            held = unseal(Place.of(row, "sealed"), row.sealed)
            record_event(
                actor,
                EventTarget("authorization_attempt", row.account_id, row.attempt_id or row.id),
                "connect.exchanged",
            )
    if replayed:
        _invalid_grant("The code was used before. The grant is revoked.")
    return held["body"], held["state"]


def decrypt_grant_body(row: PendingGrant) -> dict[str, Any]:
    """The import body that a link's grant holds. Raises SecretUnavailable."""
    body: dict[str, Any] = unseal(Place.of(row, "sealed"), row.sealed)["body"]
    return body


def grant_expire(*, id: uuid.UUID, actor: Actor) -> bool:
    """Give back a grant whose time is over; whether there was one. A code that was used is forgotten."""
    with transaction.atomic():
        # The link first, as complete and withdraw lock it, or each would wait for the other.
        list(ConnectLink.objects.select_for_update(of=("self",)).filter(grant=id))
        rows = PendingGrant.objects.select_for_update(of=("self",))
        row = rows.filter(id=id, expires_at__lte=DbNow()).first()
        if row is None:
            return False
        if row.status == Status.TAKEN:
            row.delete()
            return True
        code = "not_completed" if row.link_id else "not_exchanged"
        _give_back(row, code, "connect.expired", actor)
    return True


def grant_reschedule(*, id: uuid.UUID) -> None:
    """Leave a grant that cannot be read, and so not given back, for later; forget it after a week."""
    rows = PendingGrant.objects.filter(id=id, expires_at__lte=DbNow())
    with transaction.atomic():
        # Its ten minutes are over all the same: when the key is back, nobody completes it.
        _end_link(ConnectLink.objects.filter(grant=id), build_failure("not_completed"))
        rows.filter(created_at__lt=db_now() - UNREADABLE_RETENTION).delete()
        rows.update(code_digest=None, expires_at=db_now() + dt.timedelta(hours=1))


def grant_discard(*, row: PendingGrant, code: str, actor: Actor) -> None:
    """Within the caller's transaction: give back a grant that the company does not want."""
    _give_back(row, code, "connect.discarded", actor)


def _give_back(row: PendingGrant, code: str, verb: str, actor: Actor) -> None:
    held = unseal(Place.of(row, "sealed"), row.sealed)
    kind = get_registry().get_kind(row.kind)
    if kind is not None:
        schedule_revocation(
            account_id=row.account_id,
            oauth_app_id=row.oauth_app_id,
            kind=kind,
            body=held["body"],
            target_id=row.id,
            skip_if_connected=code != "replayed",
        )
    why = build_failure(code)
    if row.attempt_id:
        Attempt.objects.filter(id=row.attempt_id).update(
            status=Attempt.Status.FAILED, failure=why, updated_at=DbNow()
        )
    if row.link_id:
        _end_link(ConnectLink.objects.filter(id=row.link_id), why)
    target = (
        EventTarget("connect_link", row.account_id, row.link_id)
        if row.link_id
        else EventTarget("authorization_attempt", row.account_id, row.attempt_id or row.id)
    )
    record_event(actor, target, verb, [code])
    row.delete()


def _end_link(links: QuerySet[ConnectLink], why: dict[str, Any]) -> None:
    links.filter(status=ConnectLink.Status.PENDING).update(
        status=ConnectLink.Status.EXPIRED, failure=why, updated_at=DbNow()
    )


def _authenticated(exchange: TokenRequest) -> OAuthApp:
    """The app, if the secret is one of its live ones: known by fingerprint, no seal is opened."""
    app = OAuthApp.objects.filter(id=exchange.client_id).first()
    if app is not None:
        sent = compute_fingerprint(app.account_id, exchange.client_secret)
        for live in app.secrets.values_list("fingerprint", flat=True):
            if hmac.compare_digest(live, sent):
                return app
    raise UnauthenticatedError(
        "client_id must be the id of an OAuth app here, and client_secret that app's secret.",
        extra={"error": "invalid_client"},
    )


def _check(row: PendingGrant, exchange: TokenRequest) -> None:
    """What must fit the request that the code was made for (RFC 6749 §4.1.3, RFC 7636 §4.6)."""
    if exchange.redirect_uri is not None and exchange.redirect_uri != row.return_to:
        _invalid_grant("redirect_uri is not the one that the code was sent to.")
    if row.challenge and exchange.code_verifier is None:
        _invalid_grant("code_verifier is missing: the code was asked for with a challenge.")
    # A verifier without a challenge: somebody took the challenge away (RFC 9700 §4.8.2).
    if exchange.code_verifier is not None and not verify_code_challenge(
        exchange.code_verifier, row.challenge
    ):
        _invalid_grant("code_verifier does not fit the code.")


def _invalid_grant(detail: str) -> NoReturn:
    raise BadRequestError(detail, extra={"error": "invalid_grant"})
