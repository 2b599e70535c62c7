"""The callback page: the provider's response, of any flow, and the same response once more."""

from __future__ import annotations

import datetime as dt
from typing import Final
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from common.concurrency import has_capacity, sleep
from common.db.clock import DbNow, db_now
from common.db.ids import parse_uuid
from common.errors import BadRequestError
from credentials.connect.audit import record_unmatched_response, represent_failure
from credentials.connect.authorization_attempts import (
    AttemptOfBrowser,
    AuthorizationResponse,
    ClaimedAttempt,
    attempt_claim,
    find_attempt_of_browser,
)
from credentials.connect.browser_binding import hash_browser_id
from credentials.connect.callback import (
    obtain_grant,
    record_missing_code,
    record_provider_error,
    record_withdrawn_return_url,
)
from credentials.connect.errors import ERROR_MESSAGES, ConnectError, get_failure_detail
from credentials.connect.link_views import build_return_url, redirect_after_callback
from credentials.connect.links_and_callbacks import add_query_params
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import PendingGrant
from credentials.connect.query_params import parse_callback_params
from credentials.connect.settings import get_return_urls
from credentials.connect.view_decorators import (
    build_anonymous_actor,
    connect_page,
    redirect_see_other,
)
from oauth_apps.models import OAuthApp

# A longer state would make the return URL too long; the token call returns it anyway.
MAX_STATE_LENGTH: Final = 1024
MAX_POSTED_LENGTH: Final = 3500
"""Characters of a posted response: servers accept about 4,000 in the first line of a request."""
MAX_POLLS: Final = 50
"""The number of times a repeated request looks for the outcome of the first, every 0.1 seconds."""
MAX_EXCHANGE_TIME: Final = dt.timedelta(minutes=2)
"""After this time, the process that exchanged the code is gone."""

_RESPONSE_PARAMS: Final = ("state", "code", "iss", "error", "error_description", "error_uri")
# RFC 6749 §4.1.2.1; any other failure is `server_error`.
_ERRORS: Final = {
    "access_denied": "access_denied",
    "provider_unavailable": "temporarily_unavailable",
}
# Failures of which only staff know, as a browser sees them that repeats its request.
_REPEATED_ERRORS: Final = {"interrupted": "provider_unavailable", "not_exchanged": "state_expired"}


@csrf_exempt
@connect_page("GET", "POST", one_time=True)
def callback(request: HttpRequest, provider: str, app_id: str | None = None) -> HttpResponse:
    """Receive the provider's authorization response, of any flow."""
    if request.method == "POST":
        return _redirect_posted_response(request)
    params = _parse_response(request, app_id)
    response = _build_response(request, params["state"], params)
    own = find_attempt_of_browser(response)
    if own is not None and _is_repeated(own, response):
        return _repeat_outcome(request, own, response)
    try:
        claimed = attempt_claim(response=response, actor=build_anonymous_actor(request))
    except ConnectError as error:
        own = find_attempt_of_browser(response)
        if own is None:
            raise
        # Another request of this browser was faster.
        if error.code == "state_used" and _is_repeated(own, response):
            return _repeat_outcome(request, own, response)
        _add_next_steps(error, own)
        raise
    if claimed is None:
        _record_unmatched(request, app_id, "state_unknown")
        raise ConnectError("state_unknown")
    try:
        return _handle_response(request, claimed, params)
    except ConnectError as error:
        _add_next_steps(error, claimed)
        raise


def _parse_response(request: HttpRequest, app_id: str | None) -> dict[str, str]:
    """Return the parameters, with a state. Raises ConnectError with the way back, if there is one."""
    try:
        params = parse_callback_params(request, _RESPONSE_PARAMS)
        if "state" not in params:
            raise BadRequestError.for_field("state", "is missing")
    except BadRequestError as error:
        _record_unmatched(request, app_id, "bad_request")
        page_error = ConnectError("bad_request", error.detail)
        states = request.GET.getlist("state")
        if len(states) == 1 and (
            own := find_attempt_of_browser(_build_response(request, states[0]))
        ):
            _add_next_steps(page_error, own)
        raise page_error from None
    return params


def _redirect_posted_response(request: HttpRequest) -> HttpResponse:
    """Redirect a response that was posted (response_mode=form_post) to the same URL with GET."""
    # Browsers do not send SameSite=Lax cookies with another site's POST, and without the cookie
    # nothing says which browser this is. The redirect is a GET, with which they do. Nothing is
    # spent by the POST, so it needs no CSRF token: the GET checks the state and the browser.
    pairs = [(name, value) for name, values in request.GET.lists() for value in values]
    pairs += [(name, value) for name, values in request.POST.lists() for value in values]
    query = urlencode(pairs)
    if not any(name == "state" for name, _ in pairs):
        raise ConnectError("bad_request", "The service sent a form without a state.")
    if len(query) > MAX_POSTED_LENGTH:
        raise ConnectError("bad_request", "The service sent a form that is too long.")
    return redirect_see_other(f"{request.path}?{query}")


def _build_response(
    request: HttpRequest, state: str, params: dict[str, str] | None = None
) -> AuthorizationResponse:
    params = params or {}
    return AuthorizationResponse(
        callback=f"{settings.PUBLIC_URL}{request.path}",
        state=state,
        iss=params.get("iss"),
        browser_digest=hash_browser_id(request),
        is_error="error" in params,
    )


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
    return _redirect_with_code(claimed, code)


def _redirect_with_code(source: ClaimedAttempt | AttemptOfBrowser, code: str) -> HttpResponse:
    params = {"code": code, **_get_state_param(source)}
    return redirect_see_other(add_query_params(source.attempt.return_to, params))


def _is_repeated(own: AttemptOfBrowser, response: AuthorizationResponse) -> bool:
    """Return whether an earlier request has claimed the attempt, at the same callback."""
    # An attempt that expired had no request before this one.
    is_unclaimed = own.attempt.status in {Attempt.Status.WAITING, Attempt.Status.EXPIRED}
    return not is_unclaimed and own.attempt.callback == response.callback


def _repeat_outcome(
    request: HttpRequest, own: AttemptOfBrowser, response: AuthorizationResponse
) -> HttpResponse:
    """Send the browser to where its first request was sent. Raises ConnectError."""
    for _ in range(MAX_POLLS):
        if own.attempt.status != Attempt.Status.RETURNED or not has_capacity():
            break
        sleep(0.1)
        own = find_attempt_of_browser(response) or own
    attempt = own.attempt
    if attempt.status == Attempt.Status.RETURNED:
        if attempt.updated_at > db_now() - MAX_EXCHANGE_TIME:
            page = render(request, "connect/wait.html")
            # Relative to this page, so the browser sends the same request again.
            page["Refresh"] = "2"
            return page
        error = ConnectError("provider_unavailable")
    elif attempt.status == Attempt.Status.GRANTED:
        return _repeat_grant(request, own)
    else:
        error = _build_stored_error(attempt)
    _add_next_steps(error, own)
    raise error


def _repeat_grant(request: HttpRequest, own: AttemptOfBrowser) -> HttpResponse:
    """Redirect to the company again, or say that there is nothing more to do."""
    attempt = own.attempt
    return_url = attempt.return_to if _may_return(attempt) else ""
    if attempt.link is not None:
        return_url = build_return_url(attempt.link)
        if return_url or own.state:
            return redirect_after_callback(attempt.link, token=own.state)
    elif return_url and own.code:
        grants = PendingGrant.objects.filter(attempt=attempt, status=PendingGrant.Status.WAITING)
        if grants.filter(expires_at__gt=DbNow()).exists():
            return _redirect_with_code(own, own.code)
        # The company has exchanged the code. If it got the code again and exchanged it again, that
        # would revoke the grant, so the browser goes back without it.
    return render(request, "connect/repeated.html", {"return_url": return_url})


def _build_stored_error(attempt: Attempt) -> ConnectError:
    """Return the error of the page on which a failed attempt ended."""
    failure = represent_failure(attempt.failure) or {"code": "state_used", "detail": ""}
    code = _REPEATED_ERRORS.get(failure["code"], failure["code"])
    # Of a response in another browser, this browser only needs to know that the attempt is over.
    if code not in ERROR_MESSAGES or code == "other_browser":
        return ConnectError("state_used")
    is_for_staff = code == "access_denied" or failure["detail"] == get_failure_detail(code)
    return ConnectError(code, "" if is_for_staff else failure["detail"])


def _add_next_steps(error: ConnectError, source: ClaimedAttempt | AttemptOfBrowser) -> None:
    """Add the URL back to the company, with the error, and for a link the URL to try again."""
    attempt = source.attempt
    if attempt.link is not None and source.state:
        error.retry_url = reverse("connect-link", args=[source.state])
    if not _may_return(attempt):
        return
    if attempt.link is None:
        params = {"error": _ERRORS.get(error.code, "server_error"), **_get_state_param(source)}
    else:
        status = "denied" if error.code == "access_denied" else "failed"
        params = {"connect_link": str(attempt.link_id), "status": status}
    error.return_url = add_query_params(attempt.return_to, params)


def _may_return(attempt: Attempt) -> bool:
    # The company may have withdrawn the URL since the attempt began.
    return attempt.return_to in get_return_urls(attempt.account_id, attempt.oauth_app)


def _get_state_param(source: ClaimedAttempt | AttemptOfBrowser) -> dict[str, str]:
    """Return the company's state as a parameter; other types than text are JSON."""
    state = source.state
    if state is None and (
        source.attempt.flow == Attempt.Flow.START or isinstance(source, AttemptOfBrowser)
    ):
        return {}
    value = state if isinstance(state, str) else orjson.dumps(state).decode()
    return {"state": value} if len(value) <= MAX_STATE_LENGTH else {}


def _record_unmatched(request: HttpRequest, app_id: str | None, code: str) -> None:
    id = parse_uuid(app_id)
    app = OAuthApp.objects.filter(id=id).only("id", "account_id").first() if id else None
    if app is not None:
        record_unmatched_response(build_anonymous_actor(request), app.account_id, app.id, code)
