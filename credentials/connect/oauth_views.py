"""The pages that begin a documented flow: they redirect to the provider."""

from __future__ import annotations

import re
from typing import Final, cast

from django.http import HttpRequest, HttpResponse

from accounts.rate_limits import consume_address_quota
from common.db.ids import parse_uuid
from common.errors import BadRequestError, InvalidInputError, TooManyRequestsError
from common.http import LatchkeyRequest
from common.text import find_encoding_error
from credentials.connect.audit import record_unmatched_response
from credentials.connect.authorization_attempts import attempt_begin, attempt_begin_by_token
from credentials.connect.browser_binding import (
    get_or_generate_browser_id,
    set_browser_cookie,
)
from credentials.connect.callback_views import MAX_STATE_LENGTH
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import (
    FlowRequest,
    require_account_identity,
    resolve_oauth_kind,
    resolve_scopes,
    validate_return_url,
)
from credentials.connect.links_and_callbacks import add_query_params
from credentials.connect.query_params import parse_request_params
from credentials.connect.view_decorators import (
    build_anonymous_actor,
    connect_page,
    redirect_see_other,
)
from oauth_apps.models import OAuthApp

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_REQUIRED_PARAMS: Final = ("client_id", "redirect_uri", "state")
_OPTIONAL_PARAMS: Final = (
    *("response_type", "scope", "kind", "external_id", "code_challenge", "code_challenge_method"),
)
# RFC 6749 §4.1.2.1; any other error is `server_error`.
_ERRORS: Final = {"bad_request": "invalid_request", "too_many": "temporarily_unavailable"}


@connect_page("GET", one_time=True)
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
        # Before the limit of the app: one address must not use up what all users of the app have.
        consume_address_quota(cast(LatchkeyRequest, request), "authorize")
    except TooManyRequestsError as error:
        raise ConnectError("too_many", error.detail) from None
    try:
        flow_request, state = _parse_authorize_request(request, app)
    except (BadRequestError, InvalidInputError) as error:
        record_unmatched_response(actor, app.account_id, app.id, "bad_request")
        # A page, never a redirect: redirect_uri may be the parameter that is wrong.
        code = "redirect_refused" if "redirect_uri" in error.fields else "bad_request"
        page_error = ConnectError(code, error.detail)
        page_error.return_url = _build_error_url(request, app, code)
        raise page_error from None
    browser_id = get_or_generate_browser_id(request)
    try:
        url = attempt_begin(
            flow_request=flow_request, state=state, browser_id=browser_id, actor=actor
        )
    except ConnectError as error:
        error.return_url = _build_error_url(request, app, error.code)
        raise
    response = redirect_see_other(url)
    set_browser_cookie(response, browser_id)
    return response


@connect_page("GET", one_time=True)
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Begin the attempt that `start-auth` prepared, once."""
    browser_id = get_or_generate_browser_id(request)
    actor = build_anonymous_actor(request)
    url = attempt_begin_by_token(token=token, browser_id=browser_id, actor=actor)
    response = redirect_see_other(url)
    set_browser_cookie(response, browser_id)
    return response


def _build_error_url(request: HttpRequest, app: OAuthApp, code: str) -> str:
    """Return the URL back to the company with the error, "" unless the request has a valid one."""
    urls, states = request.GET.getlist("redirect_uri"), request.GET.getlist("state")
    if len(urls) != 1 or urls[0] not in app.redirect_uris:
        return ""
    params = {"error": _ERRORS.get(code, "server_error")}
    if (
        len(states) == 1
        and 0 < len(states[0]) <= MAX_STATE_LENGTH
        and not find_encoding_error(states[0])
    ):
        params["state"] = states[0]
    return add_query_params(urls[0], params)


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
        scopes=resolve_scopes(app, kind, scopes, field="scope"),
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
