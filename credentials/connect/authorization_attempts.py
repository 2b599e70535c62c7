"""The way to the provider and back, as rows: each step is one conditional change, taken once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q

from common.actors import Actor
from common.db.clock import DbNow, db_now
from common.db.ids import get_first_uuid7_at, uuid7
from credentials.connect.audit import build_failure
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest, resolve_oauth_kind
from credentials.connect.links_and_callbacks import build_callback_url, build_start_url
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import ConnectLink
from credentials.connect.oauth_client import (
    build_client_without_secrets,
    get_issuer,
    is_expected_issuer,
)
from credentials.connect.settings import uses_short_callback
from credentials.connect.tokens import generate_token, hash_token
from events.services import EventTarget, record_event
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import OAuth2Error, build_authorization_url, generate_code_verifier
from vault.sealing import Place, SealedValue, seal, unseal
from vault.secret import Secret

Status = Attempt.Status
LIFETIME: Final = dt.timedelta(minutes=10)
START_LIFETIME: Final = dt.timedelta(minutes=5)
EXPIRED_RETENTION: Final = dt.timedelta(hours=1)
"""How long an attempt is kept that expired: most are of people who never came back."""
MAX_DELETED_AT_ONCE: Final = 1000
MAX_ATTEMPTS_PER_MINUTE: Final = 300
"""How many attempts of one app may begin in a minute without a link or a token of ours."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthorizationResponse:
    """What came to the callback; `browser` is the hash of the cookie that came with it."""

    callback: str
    state: str
    iss: str | None
    browser_digest: bytes | None
    is_error: bool
    """It has an error, which connects nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClaimedAttempt:
    """An attempt whose answer was claimed: nobody else gets it. `state` is the company's own, JSON."""

    attempt: Attempt
    verifier: Secret
    state: Any


def attempt_prepare(*, flow_request: FlowRequest, state: Any, actor: Actor) -> str:
    """An attempt that begins when its address, which is returned, is opened: once, in 5 minutes.

    Raises Refusal (app_rejected) for an app that nobody could be sent to its provider with.
    """
    token = generate_token()
    row = _row(flow_request, Attempt.Flow.START, actor)
    _leave(row)
    row.status, row.start_digest = Status.READY, hash_token(token)
    row.expires_at = db_now() + START_LIFETIME
    row.sealed = _sealed(row, {"state": state})
    with transaction.atomic():
        row.save(force_insert=True)
        record_event(
            actor, EventTarget("authorization_attempt", row.account_id, row.id), "connect.prepared"
        )
    return build_start_url(token)


def attempt_begin(
    *,
    flow_request: FlowRequest,
    state: Any,
    browser_id: str,
    actor: Actor,
    link: ConnectLink | None = None,
) -> str:
    """A new attempt of this browser; where it is to be sent.

    Raises Refusal: app_rejected, or too_many where it belongs to no link, and so to nobody we know,
    and the app had A_MINUTE of these. That anybody set out is no event: what comes of it is.
    """
    row = _row(flow_request, Attempt.Flow.LINK if link else Attempt.Flow.AUTHORIZE, actor)
    if link is None:
        _hold_back(flow_request.app)
    leaving = _leave(row)
    row.link, row.status = link, Status.WAITING
    row.state_digest, row.browser_digest = hash_token(leaving.state), hash_token(browser_id)
    row.expires_at = db_now() + LIFETIME
    row.sealed = _sealed(row, {"state": state, "verifier": leaving.verifier.expose()})
    row.save(force_insert=True)
    return leaving.url


def attempt_start_prepared(*, token: str, browser_id: str, actor: Actor) -> str:
    """Begin what was prepared: the first browser to open the address owns it. Raises Refusal."""
    row = Attempt.objects.select_related("oauth_app").filter(start_digest=hash_token(token)).first()
    if row is None:
        raise ConnectError("start_expired")
    if row.status != Status.READY or row.sealed is None:
        late = row.status == Status.EXPIRED and row.state_digest is None
        _refuse(row, "start_expired" if late else "start_used", actor)
    leaving = _leave(row)
    held = unseal(Place.of(row, "sealed"), row.sealed)
    sealed = _sealed(row, {**held, "verifier": leaving.verifier.expose()})
    ready = Attempt.objects.filter(id=row.id, status=Status.READY, expires_at__gt=DbNow())
    claimed = ready.update(
        status=Status.WAITING,
        sealed=sealed,
        state_digest=hash_token(leaving.state),
        browser_digest=hash_token(browser_id),
        expires_at=db_now() + LIFETIME,
        updated_at=DbNow(),
    )
    if not claimed:
        still = Attempt.objects.filter(id=row.id, status=Status.READY).exists()
        _refuse(row, "start_expired" if still else "start_used", actor)
    return leaving.url


def attempt_claim(*, response: AuthorizationResponse, actor: Actor) -> ClaimedAttempt | None:
    """Take the answer to an attempt, once. None where no attempt has this state.

    Raises Refusal for an attempt that is over, and for an answer in another browser, at another
    address, too late or from another issuer: that ends the attempt, as its state was shown around.
    """
    row = _by_state(response.state)
    if row is None:
        return None
    if row.status != Status.WAITING or row.sealed is None:
        _refuse(row, "state_expired" if row.status == Status.EXPIRED else "state_used", actor)
    fault = _fault(row, response)
    opened = unseal(Place.of(row, "sealed"), row.sealed)
    with transaction.atomic():
        waiting = Attempt.objects.filter(id=row.id, status=Status.WAITING)
        claimed = waiting.update(status=Status.RETURNED, sealed=None, updated_at=DbNow())
        if claimed and fault:
            _end(row, fault, actor, verb="connect.refused")
    if not claimed:
        _refuse(row, "state_used", actor)
    if fault:
        raise ConnectError(fault)
    return ClaimedAttempt(
        attempt=row, verifier=Secret(opened["verifier"]), state=opened.get("state")
    )


def attempt_fail(*, attempt: Attempt, code: str, detail: str, actor: Actor) -> None:
    """End a claimed attempt, saying why to staff and on its link."""
    verb = "connect.denied" if code == "access_denied" else "connect.failed"
    with transaction.atomic():
        _end(attempt, code, actor, verb=verb, detail=detail)


def attempts_expire(*, retention: dt.timedelta) -> None:
    """End attempts whose users did not come back, and those that a killed process left on the way.

    What expired is forgotten an hour later, all others when they are older than `kept`.
    """
    Attempt.objects.filter(
        status__in=[Status.READY, Status.WAITING], expires_at__lte=DbNow()
    ).update(
        status=Status.EXPIRED,
        sealed=None,
        failure=build_failure("state_expired"),
        updated_at=DbNow(),
    )
    # The exchange takes seconds: after a minute its process is gone, and the code with it.
    stopped = db_now() - dt.timedelta(minutes=1)
    Attempt.objects.filter(status=Status.RETURNED, expires_at__lte=stopped).update(
        status=Status.FAILED, failure=build_failure("interrupted"), updated_at=DbNow()
    )
    gone = Attempt.objects.filter(
        status=Status.EXPIRED, expires_at__lte=db_now() - EXPIRED_RETENTION
    )
    ids = list(gone.order_by("expires_at").values_list("id", flat=True)[:MAX_DELETED_AT_ONCE])
    Attempt.objects.filter(id__in=ids).delete()
    # Ids tell the time: the primary key is the index for it.
    Attempt.objects.filter(id__lt=get_first_uuid7_at(db_now() - retention)).exclude(
        status__in=[Status.READY, Status.WAITING]
    ).delete()


def draft_of(attempt: Attempt) -> FlowRequest:
    """What the attempt was for. Raises Invalid where its kind is no longer known."""
    return FlowRequest(
        app=attempt.oauth_app,
        kind=resolve_oauth_kind(attempt.oauth_app, attempt.kind),
        scopes=attempt.scopes,
        return_to=attempt.return_to,
        external_id=attempt.external_id,
        challenge=attempt.challenge,
        properties=attempt.properties,
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Leaving:
    url: str
    state: str
    verifier: Secret


def _leave(row: Attempt) -> _Leaving:
    """A new state and verifier, and the provider's address with both."""
    state, verifier = generate_token(), generate_code_verifier()
    try:
        client = build_client_without_secrets(row.oauth_app, row.properties)
        row.issuer = row.issuer or get_issuer(client)
        url = build_authorization_url(
            client, redirect_uri=row.callback, state=state, scopes=row.scopes, verifier=verifier
        )
    except OAuth2Error as error:
        raise ConnectError("app_rejected", error.detail) from None
    return _Leaving(url=url, state=state, verifier=verifier)


def _hold_back(app: OAuthApp) -> None:
    """Raise Refusal for an app with A_MINUTE attempts. Those that come at once may be a few more.

    All of the minute count, however they ended: else an error sent to the callback made room.
    """
    recent = get_first_uuid7_at(db_now() - dt.timedelta(minutes=1))
    rows = Attempt.objects.filter(
        account_id=app.account_id, id__gte=recent, oauth_app=app, flow=Attempt.Flow.AUTHORIZE
    )
    if rows[:MAX_ATTEMPTS_PER_MINUTE].count() == MAX_ATTEMPTS_PER_MINUTE:
        raise ConnectError("too_many")


def _row(draft: FlowRequest, flow: str, actor: Actor) -> Attempt:
    app = draft.app
    return Attempt(
        id=uuid7(),
        account_id=app.account_id,
        oauth_app=app,
        flow=flow,
        kind=draft.kind.name,
        callback=build_callback_url(app, short=uses_short_callback(app)),
        return_to=draft.return_to,
        external_id=draft.external_id,
        challenge=draft.challenge,
        properties=draft.properties,
        scopes=draft.scopes,
        created_by=actor.name,
    )


def _by_state(state: str) -> Attempt | None:
    late = ExpressionWrapper(Q(expires_at__lte=DbNow()), output_field=BooleanField())
    rows = Attempt.objects.select_related("oauth_app", "link", "account")
    return rows.filter(state_digest=hash_token(state)).annotate(late=late).first()


def _fault(row: Attempt, answer: AuthorizationResponse) -> str | None:
    if answer.browser_digest is None or bytes(row.browser_digest or b"") != answer.browser_digest:
        return "other_browser"
    if answer.callback != row.callback:
        return "wrong_callback"
    if row.late:  # type: ignore[attr-defined]
        return "state_expired"
    try:
        # Servers that send `iss` with a code do not all send it with an error (RFC 9207 §2).
        unnamed = answer.is_error and answer.iss is None
        client = build_client_without_secrets(row.oauth_app, row.properties)
        fits = unnamed or is_expected_issuer(client, row.issuer, answer.iss)
    except OAuth2Error:
        fits = False
    return None if fits else "wrong_issuer"


def _end(row: Attempt, code: str, actor: Actor, *, verb: str, detail: str = "") -> None:
    why = build_failure(code, detail)
    Attempt.objects.filter(id=row.id).update(
        status=Status.EXPIRED if code == "state_expired" else Status.FAILED,
        failure=why,
        sealed=None,
        updated_at=DbNow(),
    )
    if row.link_id:
        # A second tab's failure says nothing of a link that the first has brought to its end.
        live = ConnectLink.objects.filter(id=row.link_id, status=ConnectLink.Status.OPENED)
        live.update(failure=why, updated_at=DbNow())
    record_event(actor, EventTarget("authorization_attempt", row.account_id, row.id), verb, [code])


def _refuse(row: Attempt, code: str, actor: Actor) -> NoReturn:
    record_event(
        actor,
        EventTarget("authorization_attempt", row.account_id, row.id),
        "connect.refused",
        [code],
    )
    raise ConnectError(code)


def _sealed(row: Attempt, value: dict[str, Any]) -> SealedValue:
    return seal(Place.of(row, "sealed"), value)
