"""The pages of a connect link: the description, with a form for a key, and the result."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from common.errors import InvalidInputError
from credentials.connect.authorization_attempts import attempt_begin
from credentials.connect.browser_binding import get_browser_id, set_browser_cookie
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest, get_provider
from credentials.connect.forms import PropertiesForm
from credentials.connect.links import (
    check_link_is_active,
    get_link_for_browser,
    link_cancel,
    link_claim,
    link_submit,
)
from credentials.connect.links_and_callbacks import add_query_params
from credentials.connect.models import ConnectLink
from credentials.connect.settings import get_return_urls
from credentials.connect.tokens import generate_token
from credentials.connect.view_decorators import (
    build_anonymous_actor,
    connect_page,
    redirect_see_other,
)
from providers.kinds import Kind
from providers.registry import get_registry

Status = ConnectLink.Status
_FINISHED: Final = {Status.PENDING, Status.COMPLETED, Status.CANCELLED}


@connect_page("GET", "POST")
def show_link(request: HttpRequest, token: str) -> HttpResponse:
    """Show the link's page, and store what is posted to its form."""
    is_post = request.method == "POST"
    link = _claim_link(request, token)[0] if is_post else _get_link(request, token)
    if link.status in _FINISHED:
        return _render_result(request, link, token)
    check_link_is_active(link)
    kind = get_registry().get_kind(link.kind)
    if kind is None:
        raise ConnectError("bad_request", "The kind is no longer known to this server.")
    if kind.needs_app:
        return _render_link(request, link, token, kind, None)
    form = PropertiesForm(kind, request.POST if is_post else None, preset=link.properties)
    if is_post and form.is_valid():
        actor = build_anonymous_actor(request)
        try:
            link_submit(link=link, properties=form.get_properties(), actor=actor)
        except InvalidInputError as error:
            form.add_validation_errors(error)
        else:
            return redirect_see_other(reverse("connect-back", args=[token]))
    return _render_link(request, link, token, kind, form)


@connect_page("GET", "POST")
def continue_to_provider(request: HttpRequest, token: str) -> HttpResponse:
    """Claim the link, and show a page that goes on to the provider at once."""
    if request.method != "POST":
        return redirect_see_other(reverse("connect-link", args=[token]))
    link, browser_id = _claim_link(request, token)
    check_link_is_active(link)
    flow_request = FlowRequest.from_row(link)
    url = attempt_begin(
        flow_request=flow_request,
        state=token,
        browser_id=browser_id,
        actor=build_anonymous_actor(request),
        link=link,
    )
    # No redirect, which the form's page would not be allowed to follow: see
    # view_decorators.CONTENT_SECURITY_POLICY.
    context = {"provider": get_provider(flow_request.kind.provider), "url": url}
    response = render(request, "connect/continue.html", context)
    response["Refresh"] = f"0; url={url}"
    set_browser_cookie(response, browser_id)
    return response


@connect_page("GET", "POST")
def cancel_link(request: HttpRequest, token: str) -> HttpResponse:
    """Cancel the link, which needs the form of the page: GET only shows the page again."""
    if request.method != "POST":
        return redirect_see_other(reverse("connect-link", args=[token]))
    link, _ = _claim_link(request, token)
    link_cancel(link=link, actor=build_anonymous_actor(request))
    return redirect_see_other(reverse("connect-back", args=[token]))


@connect_page("GET")
def show_result(request: HttpRequest, token: str) -> HttpResponse:
    """Show how the link ended, and go on to the company's return URL at once if there is one."""
    link = _get_link(request, token)
    if link.status not in _FINISHED:
        return redirect_see_other(reverse("connect-link", args=[token]))
    response = _render_result(request, link, token)
    if url := build_return_url(link):
        response["Refresh"] = f"0; url={url}"
    return response


def redirect_after_callback(link: ConnectLink, *, token: str) -> HttpResponse:
    """Redirect from the callback to the company, or to our own page if it gave no return URL."""
    link.refresh_from_db(fields=["status"])
    return redirect_see_other(build_return_url(link) or reverse("connect-back", args=[token]))


def build_return_url(link: ConnectLink) -> str:
    """Return the company's URL with the link's id and status, which are no secrets.

    Returns "" if there is none, and if the company has withdrawn it since.
    """
    if link.return_to not in get_return_urls(link.account_id, link.oauth_app):
        return ""
    params = {"connect_link": str(link.id), "status": str(link.status)}
    return add_query_params(link.return_to, params)


def _get_link(request: HttpRequest, token: str) -> ConnectLink:
    """Return the link, unless another browser owns it. Raises ConnectError."""
    actor = build_anonymous_actor(request)
    return get_link_for_browser(token=token, browser_id=get_browser_id(request), actor=actor)


def _claim_link(request: HttpRequest, token: str) -> tuple[ConnectLink, str]:
    """Return the link and the id of this browser, which owns it from now on. Raises ConnectError."""
    browser_id = get_browser_id(request)
    if browser_id is None:
        raise ConnectError("cookies_off")
    actor = build_anonymous_actor(request)
    return link_claim(token=token, browser_id=browser_id, actor=actor), browser_id


def _render_link(
    request: HttpRequest, link: ConnectLink, token: str, kind: Kind, form: PropertiesForm | None
) -> HttpResponse:
    context: dict[str, Any] = {
        "link": link,
        "token": token,
        "kind": kind,
        "provider": get_provider(kind.provider),
        "form": form,
    }
    status = 200 if form is None or not form.errors else 422
    response = render(request, "connect/connect.html", context, status=status)
    if get_browser_id(request) is None:
        set_browser_cookie(response, generate_token())
    # With no-referrer, browsers post forms with `Origin: null`, which fails the CSRF check. Other
    # sites still get no referrer.
    response["Referrer-Policy"] = "same-origin"
    return response


def _render_result(request: HttpRequest, link: ConnectLink, token: str) -> HttpResponse:
    kind = get_registry().get_kind(link.kind)
    context = {
        "link": link,
        "token": token,
        "provider": get_provider(kind.provider) if kind else None,
        "return_to": build_return_url(link),
    }
    name = "cancelled" if link.status == Status.CANCELLED else "connected"
    return render(request, f"connect/{name}.html", context)
