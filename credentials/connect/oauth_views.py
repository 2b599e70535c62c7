"""The pages of the documented flows: the redirect to the provider, and the callback."""

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
    attempt_begin_by_token,
    attempt_claim,
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

# A longer state would make the return URL too long; the token call returns it anyway.
MAX_STATE_LENGTH: Final = 1024

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_REQUIRED_PARAMS: Final = ("client_id", "redirect_uri", "state")
_OPTIONAL_PARAMS: Final = (
    *("response_type", "scope", "kind", "external_id", "code_challenge", "code_challenge_method"),
)
_RESPONSE_PARAMS: Final = ("state", "code", "iss", "error", "error_description", "error_uri")
# RFC 6749 §4.1.2.1; any other failure is `server_error`.
_ERRORS: Final = {
    "access_denied": "access_denied",
    "provider_unavailable": "temporarily_unavailable",
}


@connect_page("GET")
def authorize(request: HttpRequest) -> HttpResponse:
    """Redirect a company's user to the provider; `client_id` is the app's id here."""
    actor = build_anonymous_actor(request)
    ids = request.GET.getlist("client_id")
    app_id = parse_uuid(ids[0]) if len(ids) == 1 else None
    app = OAuthApp.objects.filter(id=app_id).first() if app_id else None
    if app is None:
        # Not even an event is possible: without an app there is no account to record it for.
        raise ConnectError("unknown_app", "client_id: must be the id of an OAuth app here, once.")
    try:
        flow_request, state = _parse_authorize_request(request, app)
    except (BadRequestError, InvalidInputError) as error:
        record_unmatched_response(actor, app.account_id, app.id, "bad_request")
        # A page, never a redirect: redirect_uri may be the parameter that is wrong.
        code = "redirect_refused" if "redirect_uri" in error.fields else "bad_request"
        raise ConnectError(code, error.detail) from None
    browser_id = get_or_generate_browser_id(request)
    url = attempt_begin(flow_request=flow_request, state=state, browser_id=browser_id, actor=actor)
    response = redirect_see_other(url)
    set_browser_cookie(response, browser_id)
    return response


@connect_page("GET")
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Begin the attempt that `start-auth` prepared, once."""
    browser_id = get_or_generate_browser_id(request)
    actor = build_anonymous_actor(request)
    url = attempt_begin_by_token(token=token, browser_id=browser_id, actor=actor)
    response = redirect_see_other(url)
    set_browser_cookie(response, browser_id)
    return response


@connect_page("GET")
def callback(request: HttpRequest, provider: str, app_id: str | None = None) -> HttpResponse:
    """Receive the provider's authorization response, of any flow."""
    actor = build_anonymous_actor(request)
    try:
        params = parse_callback_params(request, _RESPONSE_PARAMS)
        if "state" not in params:
            raise BadRequestError.for_field("state", "is missing")
    except BadRequestError as error:
        _record_unmatched(request, app_id, "bad_request")
        raise ConnectError("bad_request", error.detail) from None
    response = AuthorizationResponse(
        callback=f"{settings.PUBLIC_URL}{request.path}",
        state=params["state"],
        iss=params.get("iss"),
        browser_digest=hash_browser_id(request),
        is_error="error" in params,
    )
    claimed = attempt_claim(response=response, actor=actor)
    if claimed is None:
        _record_unmatched(request, app_id, "state_unknown")
        raise ConnectError("state_unknown")
    try:
        return _handle_response(request, claimed, params)
    except ConnectError as error:
        _add_next_steps(error, claimed)
        raise


def _handle_response(
    request: HttpRequest, claimed: ClaimedAttempt, params: dict[str, str]
) -> HttpResponse:
    """Store the grant and redirect back to the company. Raises ConnectError."""
    actor, attempt = build_anonymous_actor(request), claimed.attempt
    if attempt.link is None and not _may_return(attempt):
        raise record_withdrawn_return_url(claimed, actor)
    if "error" in params:
        raise record_provider_error(claimed, params["error"], actor)
    if "code" not in params:
        raise record_missing_code(claimed, actor)
    code = obtain_grant(claimed, params["code"], params, actor)
    if attempt.link is not None:
        return redirect_after_callback(attempt.link, token=claimed.state)
    return redirect_see_other(
        add_query_params(attempt.return_to, {"code": code, **_get_state_param(claimed)})
    )


def _add_next_steps(error: ConnectError, claimed: ClaimedAttempt) -> None:
    """Add the URL back to the company, with the error, and for a link the URL to try again."""
    attempt = claimed.attempt
    if attempt.link is not None:
        error.retry_url = reverse("connect-link", args=[claimed.state])
    if not _may_return(attempt):
        return
    if attempt.link is None:
        params = {"error": _ERRORS.get(error.code, "server_error"), **_get_state_param(claimed)}
    else:
        status = "denied" if error.code == "access_denied" else "failed"
        params = {"connect_link": str(attempt.link_id), "status": status}
    error.return_url = add_query_params(attempt.return_to, params)


def _may_return(attempt: Attempt) -> bool:
    # The company may have withdrawn the URL since the attempt began.
    return attempt.return_to in get_return_urls(attempt.account_id, attempt.oauth_app)


def _get_state_param(claimed: ClaimedAttempt) -> dict[str, str]:
    """Return the company's state as a parameter; other types than text are JSON."""
    state = claimed.state
    if state is None and claimed.attempt.flow == Attempt.Flow.START:
        return {}
    value = state if isinstance(state, str) else orjson.dumps(state).decode()
    return {"state": value} if len(value) <= MAX_STATE_LENGTH else {}


def _parse_authorize_request(request: HttpRequest, app: OAuthApp) -> tuple[FlowRequest, str]:
    """Return the flow's parameters and the state. Raises BadRequestError, InvalidInputError."""
    params = parse_request_params(request, required=_REQUIRED_PARAMS, optional=_OPTIONAL_PARAMS)
    return_to = validate_return_url(params["redirect_uri"], app.redirect_uris, field="redirect_uri")
    if len(params["state"]) > MAX_STATE_LENGTH:
        raise BadRequestError.for_field("state", f"must have at most {MAX_STATE_LENGTH} characters")
    if params.get("response_type", "code") != "code":
        raise BadRequestError.for_field("response_type", "must be code")
    external_id = params.get("external_id", "")
    if len(external_id) > 255:
        raise BadRequestError.for_field("external_id", "must have at most 255 characters")
    kind = resolve_oauth_kind(app, params.get("kind"))
    require_account_identity(kind, external_id)
    scopes = params["scope"].split(" ") if "scope" in params else None
    flow_request = FlowRequest(
        app=app,
        kind=kind,
        scopes=resolve_scopes(app, scopes, field="scope"),
        return_to=return_to,
        external_id=external_id,
        challenge=_parse_code_challenge(params),
    )
    return flow_request, params["state"]


def _parse_code_challenge(params: dict[str, str]) -> str:
    """Return the company's own PKCE challenge, "" if it sent none (RFC 7636 §4.3)."""
    challenge, method = params.get("code_challenge"), params.get("code_challenge_method")
    if challenge is None and method is None:
        return ""
    # The method defaults to `plain`, which protects nothing if the request is seen.
    if method != "S256":
        raise BadRequestError.for_field("code_challenge_method", "must be S256")
    if challenge is None or not _CHALLENGE.fullmatch(challenge):
        raise BadRequestError.for_field(
            "code_challenge", "must be the S256 of a verifier: 43 characters"
        )
    return challenge


def _record_unmatched(request: HttpRequest, app_id: str | None, code: str) -> None:
    id = parse_uuid(app_id)
    app = OAuthApp.objects.filter(id=id).only("id", "account_id").first() if id else None
    if app is not None:
        record_unmatched_response(build_anonymous_actor(request), app.account_id, app.id, code)
