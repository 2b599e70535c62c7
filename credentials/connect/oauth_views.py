"""The documented flows, as browsers see them: away to the provider, and back with a code."""

from __future__ import annotations

import re
from typing import Final

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from common.db.ids import parse_uuid
from common.errors import BadRequestError, InvalidInputError
from credentials.connect.audit import record_unmatched_response
from credentials.connect.authorization_attempts import (
    AuthorizationResponse,
    ClaimedAttempt,
    attempt_begin,
    attempt_claim,
    attempt_start_prepared,
)
from credentials.connect.browser_binding import (
    get_or_generate_browser_id,
    hash_browser_id,
    set_browser_cookie,
)
from credentials.connect.callback import (
    obtain_grant,
    record_missing_code,
    record_provider_error,
    record_withdrawn_return_url,
)
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import (
    FlowRequest,
    require_account_identity,
    resolve_oauth_kind,
    resolve_scopes,
    validate_return_url,
)
from credentials.connect.link_views import redirect_after_callback
from credentials.connect.links_and_callbacks import add_query_params
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.query_params import parse_callback_params, parse_request_params
from credentials.connect.settings import get_return_urls
from credentials.connect.view_decorators import (
    build_anonymous_actor,
    connect_page,
    redirect_see_other,
)
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


@connect_page("GET")
def authorize(request: HttpRequest) -> HttpResponse:
    """Send a company's user to the provider (documented flow; `client_id` is the app's id here).

    Nothing leads to `redirect_uri` before it was found, exactly, in the app's list.
    """
    app = _app(request)
    try:
        draft, state = _asked(request, app)
    except (BadRequestError, InvalidInputError) as problem:
        record_unmatched_response(
            build_anonymous_actor(request), app.account_id, app.id, "bad_request"
        )
        code = "redirect_refused" if "redirect_uri" in problem.fields else "bad_request"
        raise ConnectError(code, problem.detail) from None
    browser = get_or_generate_browser_id(request)
    url = attempt_begin(
        flow_request=draft, state=state, browser_id=browser, actor=build_anonymous_actor(request)
    )
    response = redirect_see_other(url)
    set_browser_cookie(response, browser)
    return response


@connect_page("GET")
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Begin what `start-auth` prepared: once."""
    browser = get_or_generate_browser_id(request)
    response = redirect_see_other(
        attempt_start_prepared(
            token=token, browser_id=browser, actor=build_anonymous_actor(request)
        )
    )
    set_browser_cookie(response, browser)
    return response


@connect_page("GET")
def callback(request: HttpRequest, provider: str, app_id: str | None = None) -> HttpResponse:
    """The provider's answer, for whichever flow it belongs to."""
    actor = build_anonymous_actor(request)
    try:
        sent = parse_callback_params(request, _PROTOCOL)
        if "state" not in sent:
            raise BadRequestError.for_field("state", "is missing")
    except BadRequestError as problem:
        _stray(request, app_id, "bad_request")
        raise ConnectError("bad_request", problem.detail) from None
    answer = AuthorizationResponse(
        callback=f"{settings.PUBLIC_URL}{request.path}",
        state=sent["state"],
        iss=sent.get("iss"),
        browser_digest=hash_browser_id(request),
        is_error="error" in sent,
    )
    returned = attempt_claim(response=answer, actor=actor)
    if returned is None:
        _stray(request, app_id, "state_unknown")
        raise ConnectError("state_unknown")
    try:
        return _received(request, returned, sent)
    except ConnectError as refusal:
        _offer(refusal, returned)
        raise


def _received(request: HttpRequest, returned: ClaimedAttempt, sent: dict[str, str]) -> HttpResponse:
    actor = build_anonymous_actor(request)
    if returned.attempt.link is None and not _may_return(returned):
        raise record_withdrawn_return_url(returned, actor)
    if "error" in sent:
        raise record_provider_error(returned, sent["error"], actor)
    if "code" not in sent:
        raise record_missing_code(returned, actor)
    held = obtain_grant(returned, sent["code"], sent, actor)
    if held.attempt.link is not None:
        return redirect_after_callback(held.attempt.link, token=returned.state)
    return redirect_see_other(
        add_query_params(held.attempt.return_to, {"code": held.code, **_state(returned)})
    )


def _offer(refusal: ConnectError, returned: ClaimedAttempt) -> None:
    """Ways on: back to the company, which learns that it did not work, and by a link once more."""
    attempt = returned.attempt
    if attempt.link is not None:
        refusal.retry_url = reverse("connect-link", args=[returned.state])
    if not _may_return(returned):
        return
    if attempt.link is None:
        more = {"error": _ERRORS.get(refusal.code, "server_error"), **_state(returned)}
    else:
        status = "denied" if refusal.code == "access_denied" else "failed"
        more = {"connect_link": str(attempt.link_id), "status": status}
    refusal.return_url = add_query_params(attempt.return_to, more)


def _may_return(returned: ClaimedAttempt) -> bool:
    """Whether the address still is one of the company's: it may have withdrawn it meanwhile."""
    attempt = returned.attempt
    return attempt.return_to in get_return_urls(attempt.account_id, attempt.oauth_app)


def _state(returned: ClaimedAttempt) -> dict[str, str]:
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
        raise ConnectError("unknown_app", "client_id: must be the id of an OAuth app here, once.")
    return app


def _asked(request: HttpRequest, app: OAuthApp) -> tuple[FlowRequest, str]:
    sent = parse_request_params(request, required=_ASKED, optional=_MAY_ASK)
    return_to = validate_return_url(sent["redirect_uri"], app.redirect_uris, field="redirect_uri")
    if len(sent["state"]) > STATE_LENGTH:
        raise BadRequestError.for_field("state", f"must have at most {STATE_LENGTH} characters")
    if sent.get("response_type", "code") != "code":
        raise BadRequestError.for_field("response_type", "must be code")
    external_id = sent.get("external_id", "")
    if len(external_id) > 255:
        raise BadRequestError.for_field("external_id", "must have at most 255 characters")
    kind = resolve_oauth_kind(app, sent.get("kind"))
    require_account_identity(kind, external_id)
    wanted = sent["scope"].split(" ") if "scope" in sent else None
    draft = FlowRequest(
        app=app,
        kind=kind,
        scopes=resolve_scopes(app, wanted, field="scope"),
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
        raise BadRequestError.for_field("code_challenge_method", "must be S256")
    if challenge is None or not _CHALLENGE.fullmatch(challenge):
        raise BadRequestError.for_field(
            "code_challenge", "must be the S256 of a verifier: 43 characters"
        )
    return challenge


def _stray(request: HttpRequest, app_id: str | None, code: str) -> None:
    id = parse_uuid(app_id)
    app = OAuthApp.objects.filter(id=id).only("id", "account_id").first() if id else None
    if app is not None:
        record_unmatched_response(build_anonymous_actor(request), app.account_id, app.id, code)
