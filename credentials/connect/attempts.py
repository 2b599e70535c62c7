"""The way to the provider and back, as rows: each step is one conditional change, taken once."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q

from common.callers import Actor
from common.clock import DbNow, db_now
from common.ids import uuid7
from credentials.connect.choices import has_short_callback
from credentials.connect.clients import bare_client, issuer_fits, issuer_of
from credentials.connect.drafts import Draft, oauth_kind
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import ConnectLink
from credentials.connect.random_tokens import digest, new_token
from credentials.connect.refusals import Refusal
from credentials.connect.targets import callback_of, start_address
from credentials.connect.trail import failure, note
from oauth_apps.protocol import ProtocolError, authorization_url, new_verifier
from vault.sealing import Place, Sealed, seal, unseal
from vault.secret import Secret

Status = Attempt.Status
LIFETIME: Final = dt.timedelta(minutes=10)
START_LIFETIME: Final = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """What came to the callback; `browser` is the hash of the cookie that came with it."""

    callback: str
    state: str
    iss: str | None
    browser: bytes | None
    refuses: bool
    """It has an error, which connects nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Returned:
    """An attempt whose answer was claimed: nobody else gets it. `state` is the company's own, JSON."""

    attempt: Attempt
    verifier: Secret
    state: Any


def attempt_prepare(*, draft: Draft, state: Any, actor: Actor) -> str:
    """An attempt that begins when its address, which is returned, is opened: once, in 5 minutes.

    Raises Refusal (app_wrong) for an app that nobody could be sent to its provider with.
    """
    token = new_token()
    row = _row(draft, Attempt.Flow.START, actor)
    _leave(row)
    row.status, row.start_digest = Status.READY, digest(token)
    row.expires_at = db_now() + START_LIFETIME
    row.sealed = _sealed(row, {"state": state})
    with transaction.atomic():
        row.save(force_insert=True)
        _note(actor, row, "connect.prepared")
    return start_address(token)


def attempt_begin(
    *, draft: Draft, state: Any, browser: str, actor: Actor, link: ConnectLink | None = None
) -> str:
    """A new attempt of this browser; where it is to be sent. Raises Refusal (app_wrong)."""
    row = _row(draft, Attempt.Flow.LINK if link else Attempt.Flow.AUTHORIZE, actor)
    leaving = _leave(row)
    row.link, row.status = link, Status.WAITING
    row.state_digest, row.browser_digest = digest(leaving.state), digest(browser)
    row.expires_at = db_now() + LIFETIME
    row.sealed = _sealed(row, {"state": state, "verifier": leaving.verifier.expose()})
    with transaction.atomic():
        row.save(force_insert=True)
        _note(actor, row, "connect.started")
    return leaving.url


def attempt_open(*, token: str, browser: str, actor: Actor) -> str:
    """Begin what was prepared: the first browser to open the address owns it. Raises Refusal."""
    row = Attempt.objects.select_related("oauth_app").filter(start_digest=digest(token)).first()
    if row is None:
        raise Refusal("start_used")
    if row.status != Status.READY or row.sealed is None:
        late = row.status == Status.EXPIRED and row.state_digest is None
        _refuse(row, "start_expired" if late else "start_used", actor)
    leaving = _leave(row)
    held = unseal(Place.of(row, "sealed"), row.sealed)
    sealed = _sealed(row, {**held, "verifier": leaving.verifier.expose()})
    with transaction.atomic():
        ready = Attempt.objects.filter(id=row.id, status=Status.READY, expires_at__gt=DbNow())
        claimed = ready.update(
            status=Status.WAITING,
            sealed=sealed,
            state_digest=digest(leaving.state),
            browser_digest=digest(browser),
            expires_at=db_now() + LIFETIME,
            updated_at=DbNow(),
        )
        if claimed:
            _note(actor, row, "connect.started")
    if not claimed:
        still = Attempt.objects.filter(id=row.id, status=Status.READY).exists()
        _refuse(row, "start_expired" if still else "start_used", actor)
    return leaving.url


def attempt_claim(*, answer: Answer, actor: Actor) -> Returned | None:
    """Take the answer to an attempt, once. None where no attempt has this state.

    Raises Refusal for an attempt that is over, and for an answer in another browser, at another
    address, too late or from another issuer: that ends the attempt, as its state was shown around.
    """
    row = _by_state(answer.state)
    if row is None:
        return None
    if row.status != Status.WAITING or row.sealed is None:
        _refuse(row, "state_expired" if row.status == Status.EXPIRED else "state_used", actor)
    fault = _fault(row, answer)
    opened = unseal(Place.of(row, "sealed"), row.sealed)
    with transaction.atomic():
        waiting = Attempt.objects.filter(id=row.id, status=Status.WAITING)
        claimed = waiting.update(status=Status.RETURNED, sealed=None, updated_at=DbNow())
        if claimed and fault:
            _end(row, fault, actor, verb="connect.refused")
    if not claimed:
        _refuse(row, "state_used", actor)
    if fault:
        raise Refusal(fault)
    return Returned(attempt=row, verifier=Secret(opened["verifier"]), state=opened.get("state"))


def attempt_fail(*, attempt: Attempt, code: str, detail: str, actor: Actor) -> None:
    """End a claimed attempt, saying why to staff and on its link."""
    verb = "connect.denied" if code == "access_denied" else "connect.failed"
    with transaction.atomic():
        _end(attempt, code, actor, verb=verb, detail=detail)


def attempts_lapse(*, kept: dt.timedelta) -> None:
    """End attempts whose users did not come back, and forget those that are older than `kept`."""
    Attempt.objects.filter(
        status__in=[Status.READY, Status.WAITING], expires_at__lte=DbNow()
    ).update(
        status=Status.EXPIRED, sealed=None, failure=failure("state_expired"), updated_at=DbNow()
    )
    Attempt.objects.filter(created_at__lt=db_now() - kept).exclude(
        status__in=[Status.READY, Status.WAITING]
    ).delete()


def draft_of(attempt: Attempt) -> Draft:
    """What the attempt was for. Raises Invalid where its kind is no longer known."""
    return Draft(
        app=attempt.oauth_app,
        kind=oauth_kind(attempt.oauth_app, attempt.kind),
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
    state, verifier = new_token(), new_verifier()
    try:
        client = bare_client(row.oauth_app, row.properties)
        row.issuer = row.issuer or issuer_of(client)
        url = authorization_url(
            client, redirect_uri=row.callback, state=state, scopes=row.scopes, verifier=verifier
        )
    except ProtocolError as error:
        raise Refusal("app_wrong", error.detail) from None
    return _Leaving(url=url, state=state, verifier=verifier)


def _row(draft: Draft, flow: str, actor: Actor) -> Attempt:
    app = draft.app
    return Attempt(
        id=uuid7(),
        account_id=app.account_id,
        oauth_app=app,
        flow=flow,
        kind=draft.kind.name,
        callback=callback_of(app, short=has_short_callback(app)),
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
    return rows.filter(state_digest=digest(state)).annotate(late=late).first()


def _fault(row: Attempt, answer: Answer) -> str | None:
    if answer.browser is None or bytes(row.browser_digest or b"") != answer.browser:
        return "other_browser"
    if answer.callback != row.callback:
        return "wrong_callback"
    if row.late:  # type: ignore[attr-defined]
        return "state_expired"
    try:
        # Servers that send `iss` with a code do not all send it with an error (RFC 9207 §2).
        unnamed = answer.refuses and answer.iss is None
        client = bare_client(row.oauth_app, row.properties)
        fits = unnamed or issuer_fits(client, row.issuer, answer.iss)
    except ProtocolError:
        fits = False
    return None if fits else "wrong_issuer"


def _end(row: Attempt, code: str, actor: Actor, *, verb: str, detail: str = "") -> None:
    why = failure(code, detail)
    Attempt.objects.filter(id=row.id).update(
        status=Status.EXPIRED if code == "state_expired" else Status.FAILED,
        failure=why,
        sealed=None,
        updated_at=DbNow(),
    )
    if row.link_id:
        ConnectLink.objects.filter(id=row.link_id).update(failure=why, updated_at=DbNow())
    note(actor, row.account_id, verb, "authorization_attempt", row.id, [code])


def _refuse(row: Attempt, code: str, actor: Actor) -> NoReturn:
    note(actor, row.account_id, "connect.refused", "authorization_attempt", row.id, [code])
    raise Refusal(code)


def _note(actor: Actor, row: Attempt, verb: str) -> None:
    note(actor, row.account_id, verb, "authorization_attempt", row.id)


def _sealed(row: Attempt, value: dict[str, Any]) -> Sealed:
    return seal(Place.of(row, "sealed"), value)
