"""The documented flows, as browsers see them: away to the provider, and back with a code."""

from __future__ import annotations

import re
from typing import Final

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from common.db.ids import parse_uuid
from common.errors import BadRequest, Invalid
from credentials.connect.audit import note_stray
from credentials.connect.authorization_attempts import (
    Answer,
    Returned,
    attempt_begin,
    attempt_claim,
    attempt_open,
)
from credentials.connect.browser_binding import browser_digest, known_or_new, remember
from credentials.connect.callback import denied, missing, receive, withdrawn
from credentials.connect.errors import Refusal
from credentials.connect.flow_request import (
    Draft,
    check_identifiable,
    check_return,
    oauth_kind,
    scopes_of,
)
from credentials.connect.link_views import after_link
from credentials.connect.links_and_callbacks import with_parameters
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.query_params import answered, single
from credentials.connect.settings import return_addresses
from credentials.connect.view_decorators import onlooker, page, see_other
from oauth_apps.models import OAuthApp

STATE_LENGTH: Final = 1024
"""A longer state is not put into the address that people come back to; the token call has it."""

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_ASKED: Final = ("client_id", "redirect_uri", "state")
_MAY_ASK: Final = (
    *("response_type", "scope", "kind", "external_id", "code_challenge", "code_challenge_method"),
)
_PROTOCOL: Final = ("state", "code", "iss", "error", "error_description", "error_uri")
# RFC 6749 §4.1.2.1; whatever else went wrong is `server_error`.
_ERRORS: Final = {
    "access_denied": "access_denied",
    "provider_unavailable": "temporarily_unavailable",
}


@page("GET")
def authorize(request: HttpRequest) -> HttpResponse:
    """Send a company's user to the provider (documented flow; `client_id` is the app's id here).

    Nothing leads to `redirect_uri` before it was found, exactly, in the app's list.
    """
    app = _app(request)
    try:
        draft, state = _asked(request, app)
    except (BadRequest, Invalid) as problem:
        note_stray(onlooker(request), app.account_id, app.id, "bad_request")
        code = "redirect_refused" if "redirect_uri" in problem.fields else "bad_request"
        raise Refusal(code, problem.detail) from None
    browser = known_or_new(request)
    url = attempt_begin(draft=draft, state=state, browser=browser, actor=onlooker(request))
    response = see_other(url)
    remember(response, browser)
    return response


@page("GET")
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Begin what `start-auth` prepared: once."""
    browser = known_or_new(request)
    response = see_other(attempt_open(token=token, browser=browser, actor=onlooker(request)))
    remember(response, browser)
    return response


@page("GET")
def callback(request: HttpRequest, provider: str, app_id: str | None = None) -> HttpResponse:
    """The provider's answer, for whichever flow it belongs to."""
    actor = onlooker(request)
    try:
        sent = answered(request, _PROTOCOL)
        if "state" not in sent:
            raise BadRequest.of("state", "is missing")
    except BadRequest as problem:
        _stray(request, app_id, "bad_request")
        raise Refusal("bad_request", problem.detail) from None
    answer = Answer(
        callback=f"{settings.PUBLIC_URL}{request.path}",
        state=sent["state"],
        iss=sent.get("iss"),
        browser=browser_digest(request),
        refuses="error" in sent,
    )
    returned = attempt_claim(answer=answer, actor=actor)
    if returned is None:
        _stray(request, app_id, "state_unknown")
        raise Refusal("state_unknown")
    try:
        return _received(request, returned, sent)
    except Refusal as refusal:
        _offer(refusal, returned)
        raise


def _received(request: HttpRequest, returned: Returned, sent: dict[str, str]) -> HttpResponse:
    actor = onlooker(request)
    if returned.attempt.link is None and not _may_return(returned):
        raise withdrawn(returned, actor)
    if "error" in sent:
        raise denied(returned, sent["error"], actor)
    if "code" not in sent:
        raise missing(returned, actor)
    held = receive(returned, sent["code"], sent, actor)
    if held.attempt.link is not None:
        return after_link(held.attempt.link, token=returned.state)
    return see_other(
        with_parameters(held.attempt.return_to, {"code": held.code, **_state(returned)})
    )


def _offer(refusal: Refusal, returned: Returned) -> None:
    """Ways on: back to the company, which learns that it did not work, and by a link once more."""
    attempt = returned.attempt
    if attempt.link is not None:
        refusal.again = reverse("connect-link", args=[returned.state])
    if not _may_return(returned):
        return
    if attempt.link is None:
        more = {"error": _ERRORS.get(refusal.code, "server_error"), **_state(returned)}
    else:
        status = "denied" if refusal.code == "access_denied" else "failed"
        more = {"connect_link": str(attempt.link_id), "status": status}
    refusal.back = with_parameters(attempt.return_to, more)


def _may_return(returned: Returned) -> bool:
    """Whether the address still is one of the company's: it may have withdrawn it meanwhile."""
    attempt = returned.attempt
    return attempt.return_to in return_addresses(attempt.account_id, attempt.oauth_app)


def _state(returned: Returned) -> dict[str, str]:
    """The company's state as it was sent; what is no string, as JSON."""
    state = returned.state
    if state is None and returned.attempt.flow == Attempt.Flow.START:
        return {}
    shown = state if isinstance(state, str) else orjson.dumps(state).decode()
    return {"state": shown} if len(shown) <= STATE_LENGTH else {}


def _app(request: HttpRequest) -> OAuthApp:
    """The app that `client_id` names, before all else: only with it there is anybody to tell."""
    sent = request.GET.getlist("client_id")
    id = parse_uuid(sent[0]) if len(sent) == 1 else None
    app = OAuthApp.objects.filter(id=id).first() if id else None
    if app is None:
        raise Refusal("unknown_app", "client_id: must be the id of an OAuth app here, once.")
    return app


def _asked(request: HttpRequest, app: OAuthApp) -> tuple[Draft, str]:
    sent = single(request, required=_ASKED, optional=_MAY_ASK)
    return_to = check_return(sent["redirect_uri"], app.redirect_uris, field="redirect_uri")
    if len(sent["state"]) > STATE_LENGTH:
        raise BadRequest.of("state", f"must have at most {STATE_LENGTH} characters")
    if sent.get("response_type", "code") != "code":
        raise BadRequest.of("response_type", "must be code")
    external_id = sent.get("external_id", "")
    if len(external_id) > 255:
        raise BadRequest.of("external_id", "must have at most 255 characters")
    kind = oauth_kind(app, sent.get("kind"))
    check_identifiable(kind, external_id)
    wanted = sent["scope"].split(" ") if "scope" in sent else None
    draft = Draft(
        app=app,
        kind=kind,
        scopes=scopes_of(app, wanted, field="scope"),
        return_to=return_to,
        external_id=external_id,
        challenge=_challenge(sent),
    )
    return draft, sent["state"]


def _challenge(sent: dict[str, str]) -> str:
    """The caller's own PKCE challenge: S256 alone, and never half of it (RFC 7636 §4.3)."""
    challenge, method = sent.get("code_challenge"), sent.get("code_challenge_method")
    if challenge is None and method is None:
        return ""
    if method != "S256":
        raise BadRequest.of("code_challenge_method", "must be S256")
    if challenge is None or not _CHALLENGE.fullmatch(challenge):
        raise BadRequest.of("code_challenge", "must be the S256 of a verifier: 43 characters")
    return challenge


def _stray(request: HttpRequest, app_id: str | None, code: str) -> None:
    id = parse_uuid(app_id)
    app = OAuthApp.objects.filter(id=id).only("id", "account_id").first() if id else None
    if app is not None:
        note_stray(onlooker(request), app.account_id, app.id, code)
