"""The steps of an authorization attempt. Each is one conditional UPDATE, so it happens only once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet

from common.actors import Actor
from common.db.clock import DbNow, db_now
from common.db.ids import get_first_uuid7_at, uuid7
from credentials.connect.audit import build_failure, get_event_target, record_rejection
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest
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
from events.services import record_event
from oauth_apps.protocol import OAuth2Error, build_authorization_url, generate_code_verifier
from vault.sealing import Place, SealedValue, seal, unseal
from vault.secret import Secret

Status = Attempt.Status
LIFETIME: Final = dt.timedelta(minutes=10)
START_LIFETIME: Final = dt.timedelta(minutes=5)
# Most expired attempts are of people who never came back, which staff need not look at. Those who
# come back late still find the way to the company, for which `sealed` is needed.
EXPIRED_RETENTION: Final = dt.timedelta(hours=1)
MAX_DELETED_AT_ONCE: Final = 1000
MAX_ATTEMPTS_PER_MINUTE: Final = 300
"""The limit for each app, counting attempts without a connect link or a token of ours."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthorizationResponse:
    """The parameters of a response at the callback that decide to which attempt it belongs."""

    callback: str
    state: str
    iss: str | None
    browser_digest: bytes | None
    """The hash of the browser's cookie."""
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClaimedAttempt:
    """An attempt whose response no other request can claim. `state` is the company's, any JSON."""

    attempt: Attempt
    verifier: Secret
    state: Any


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AttemptOfBrowser:
    """An attempt, in whatever status, that began in the browser that sends its state.

    `state` is the company's, None if it is no longer stored. `code` is our own, "" unless the
    attempt has granted one.
    """

    attempt: Attempt
    state: Any
    code: str


def attempt_prepare(*, flow_request: FlowRequest, state: object, actor: Actor) -> str:
    """Create an attempt and return its start URL, which works once within 5 minutes.

    Raises ConnectError (app_rejected) if the app cannot make an authorization request.
    """
    token = generate_token()
    row = _build_row(flow_request, Attempt.Flow.START, actor)
    # A wrong app must fail here, at the company's backend, and not later in the user's browser.
    _build_redirect(row)
    row.status, row.start_digest = Status.READY, hash_token(token)
    row.expires_at = db_now() + START_LIFETIME
    row.sealed = _seal(row, {"state": state})
    with transaction.atomic():
        row.save(force_insert=True)
        record_event(actor, get_event_target(row), "connect.prepared")
    return build_start_url(token)


def attempt_begin(
    *,
    flow_request: FlowRequest,
    state: object,
    browser_id: str,
    actor: Actor,
    link: ConnectLink | None = None,
) -> str:
    """Create an attempt of this browser and return the provider's URL.

    Raises ConnectError: app_rejected, or too_many if there is no link and the app has already
    begun MAX_ATTEMPTS_PER_MINUTE.
    """
    row = _build_row(flow_request, Attempt.Flow.LINK if link else Attempt.Flow.AUTHORIZE, actor)
    if link is None:
        # Attempts that ended count too, or sending an error to the callback would reset the limit.
        # Concurrent requests may exceed it by a few, which is harmless.
        recent = Attempt.objects.filter(
            account_id=row.account_id,
            id__gte=get_first_uuid7_at(db_now() - dt.timedelta(minutes=1)),
            oauth_app=row.oauth_app,
            flow=Attempt.Flow.AUTHORIZE,
        )
        if recent[:MAX_ATTEMPTS_PER_MINUTE].count() == MAX_ATTEMPTS_PER_MINUTE:
            raise ConnectError("too_many")
    redirect = _build_redirect(row)
    row.link, row.status = link, Status.WAITING
    row.state_digest, row.browser_digest = hash_token(redirect.state), hash_token(browser_id)
    row.expires_at = db_now() + LIFETIME
    row.sealed = _seal(row, {"state": state, "verifier": redirect.verifier.expose()})
    # No event: anyone can open the address any number of times. The outcome is recorded.
    row.save(force_insert=True)
    return redirect.url


def attempt_begin_by_token(*, token: str, browser_id: str, actor: Actor) -> str:
    """Begin a prepared attempt in the first browser that opens it; return the provider's URL.

    Raises ConnectError (start_expired, start_used).
    """
    row = Attempt.objects.select_related("oauth_app").filter(start_digest=hash_token(token)).first()
    if row is None:
        raise ConnectError("start_expired")
    if row.status != Status.READY or row.sealed is None:
        never_started = row.status == Status.EXPIRED and row.state_digest is None
        _reject(row, "start_expired" if never_started else "start_used", actor)
    redirect = _build_redirect(row)
    value = unseal(Place.of(row, "sealed"), row.sealed)
    ready = Attempt.objects.filter(id=row.id, status=Status.READY)
    is_started = ready.filter(expires_at__gt=DbNow()).update(
        status=Status.WAITING,
        sealed=_seal(row, {**value, "verifier": redirect.verifier.expose()}),
        state_digest=hash_token(redirect.state),
        browser_digest=hash_token(browser_id),
        expires_at=db_now() + LIFETIME,
        updated_at=DbNow(),
    )
    if not is_started:
        _reject(row, "start_expired" if ready.exists() else "start_used", actor)
    return redirect.url


def find_attempt_of_browser(response: AuthorizationResponse) -> AttemptOfBrowser | None:
    """Return the attempt of a response if it began in the same browser. Changes nothing."""
    rows = Attempt.objects.select_related("oauth_app", "link", "account")
    row = rows.filter(state_digest=hash_token(response.state)).first()
    # The state alone is no proof: it is in the provider's URL, which can be passed on.
    if row is None or bytes(row.browser_digest or b"") != response.browser_digest:
        return None
    value = unseal(Place.of(row, "sealed"), row.sealed) if row.sealed is not None else {}
    return AttemptOfBrowser(attempt=row, state=value.get("state"), code=value.get("code", ""))


def attempt_claim(*, response: AuthorizationResponse, actor: Actor) -> ClaimedAttempt | None:
    """Claim the response to an attempt, once. Return None if no attempt has this state.

    Raises ConnectError if the attempt is over, or if the response came in another browser, at
    another address, too late or from another issuer.
    """
    is_late = ExpressionWrapper(Q(expires_at__lte=DbNow()), output_field=BooleanField())
    rows = Attempt.objects.select_related("oauth_app", "link", "account").annotate(is_late=is_late)
    row = rows.filter(state_digest=hash_token(response.state)).first()
    if row is None:
        return None
    if row.status != Status.WAITING or row.sealed is None:
        if row.status == Status.EXPIRED:
            _reject(row, "state_expired", actor)
        is_same_browser = bytes(row.browser_digest or b"") == response.browser_digest
        if is_same_browser and row.callback == response.callback:
            # The same browser, which is sent to where its first request was sent: no event.
            raise ConnectError("state_used")
        _reject(row, "state_used", actor)
    error = _find_response_error(row, response, is_late=row.is_late)
    value = unseal(Place.of(row, "sealed"), row.sealed)
    with transaction.atomic():
        waiting = Attempt.objects.filter(id=row.id, status=Status.WAITING)
        # The company's state stays, for the same browser may repeat its request.
        state = {"state": value.get("state")}
        is_claimed = waiting.update(
            status=Status.RETURNED, sealed=_seal(row, state), updated_at=DbNow()
        )
        # A wrong response ends the attempt too, because someone else may know its state.
        if is_claimed and error:
            _end(row, error, actor, verb="connect.refused")
    if not is_claimed:
        raise ConnectError("state_used")
    if error:
        raise ConnectError(error)
    return ClaimedAttempt(attempt=row, verifier=Secret(value["verifier"]), state=value.get("state"))


def attempt_grant(*, claimed: ClaimedAttempt, code: str, actor: Actor) -> None:
    """Mark a claimed attempt as successful, in the caller's transaction.

    `code` is our own, with which the browser returns to the company; "" for a link.
    """
    attempt = claimed.attempt
    # A browser that repeats its request needs the code again, of which the grant has only a hash.
    sealed = _seal(attempt, {"state": claimed.state, "code": code})
    Attempt.objects.filter(id=attempt.id).update(
        status=Status.GRANTED, sealed=sealed, updated_at=DbNow()
    )
    record_event(actor, get_event_target(attempt), "connect.granted")


def attempt_fail(*, attempt: Attempt, code: str, detail: str, actor: Actor) -> None:
    """End a claimed attempt, and store the reason on it and on its link."""
    verb = "connect.denied" if code == "access_denied" else "connect.failed"
    with transaction.atomic():
        _end(attempt, code, actor, verb=verb, detail=detail)


def attempts_expire(*, retention: dt.timedelta) -> None:
    """End attempts whose users did not come back, and those of a process that was killed.

    Deletes expired attempts after EXPIRED_RETENTION, all others after `retention`.
    """
    active = [Status.READY, Status.WAITING]
    Attempt.objects.filter(status__in=active, expires_at__lte=DbNow()).update(
        status=Status.EXPIRED,
        failure=build_failure("state_expired"),
        updated_at=DbNow(),
    )
    # The exchange takes seconds: after a minute its process is gone, and the code with it.
    killed = Attempt.objects.filter(
        status=Status.RETURNED, expires_at__lte=db_now() - dt.timedelta(minutes=1)
    )
    killed.update(status=Status.FAILED, failure=build_failure("interrupted"), updated_at=DbNow())
    ended = get_ended_sealed_attempts().filter(expires_at__lte=db_now() - EXPIRED_RETENTION)
    ended.update(sealed=None, updated_at=DbNow())
    old = Attempt.objects.filter(
        status=Status.EXPIRED, expires_at__lte=db_now() - EXPIRED_RETENTION
    )
    ids = list(old.order_by("expires_at").values_list("id", flat=True)[:MAX_DELETED_AT_ONCE])
    Attempt.objects.filter(id__in=ids).delete()
    # A UUIDv7 begins with its time, so the primary key serves as the index for the age.
    older = Attempt.objects.filter(id__lt=get_first_uuid7_at(db_now() - retention))
    older.exclude(status__in=active).delete()


def get_ended_sealed_attempts() -> QuerySet[Attempt]:
    """Return the attempts that are over and still have the company's state."""
    return Attempt.objects.filter(sealed__isnull=False).exclude(
        status__in=[Status.READY, Status.WAITING]
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Redirect:
    url: str
    state: str
    verifier: Secret


def _build_redirect(row: Attempt) -> _Redirect:
    """Return the provider's URL with a new state and a new verifier."""
    state, verifier = generate_token(), generate_code_verifier()
    try:
        client = build_client_without_secrets(row.oauth_app, row.kind, row.properties)
        row.issuer = row.issuer or get_issuer(client)
        url = build_authorization_url(
            client,
            redirect_uri=row.callback,
            state=state,
            scopes=row.scopes,
            verifier=verifier,
            params=row.oauth_app.authorize_params,
        )
    except OAuth2Error as error:
        raise ConnectError("app_rejected", error.detail) from None
    return _Redirect(url=url, state=state, verifier=verifier)


def _build_row(flow_request: FlowRequest, flow: str, actor: Actor) -> Attempt:
    app = flow_request.app
    return Attempt(
        id=uuid7(),
        account_id=app.account_id,
        oauth_app=app,
        flow=flow,
        kind=flow_request.kind.name,
        callback=build_callback_url(app, short=uses_short_callback(app)),
        return_to=flow_request.return_to,
        external_id=flow_request.external_id,
        challenge=flow_request.challenge,
        properties=flow_request.properties,
        scopes=flow_request.scopes,
        created_by=actor.name,
    )


def _find_response_error(
    row: Attempt, response: AuthorizationResponse, *, is_late: bool
) -> str | None:
    browser_digest = bytes(row.browser_digest or b"")
    if response.browser_digest is None or browser_digest != response.browser_digest:
        return "other_browser"
    if response.callback != row.callback:
        return "wrong_callback"
    if is_late:
        return "state_expired"
    # Servers that send `iss` with a code do not all send it with an error (RFC 9207 §2).
    if response.is_error and response.iss is None:
        return None
    try:
        client = build_client_without_secrets(row.oauth_app, row.kind, row.properties)
        is_expected = is_expected_issuer(client, row.issuer, response.iss)
    except OAuth2Error:
        is_expected = False
    return None if is_expected else "wrong_issuer"


def _end(row: Attempt, code: str, actor: Actor, *, verb: str, detail: str = "") -> None:
    failure = build_failure(code, detail)
    Attempt.objects.filter(id=row.id).update(
        status=Status.EXPIRED if code == "state_expired" else Status.FAILED,
        failure=failure,
        updated_at=DbNow(),
    )
    if row.link_id:
        # A failure in a second tab must not appear on a link that the first tab has finished.
        opened = ConnectLink.objects.filter(id=row.link_id, status=ConnectLink.Status.OPENED)
        opened.update(failure=failure, updated_at=DbNow())
    record_event(actor, get_event_target(row), verb, [code])


def _reject(row: Attempt, code: str, actor: Actor) -> NoReturn:
    record_rejection(actor, row, code)
    raise ConnectError(code)


def _seal(row: Attempt, value: dict[str, Any]) -> SealedValue:
    return seal(Place.of(row, "sealed"), value)
