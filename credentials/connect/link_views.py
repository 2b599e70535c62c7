"""The pages of a connect link: what is asked for, Continue or a form, and how it ended."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from common.errors import InvalidInputError
from credentials.connect import links
from credentials.connect.authorization_attempts import attempt_begin
from credentials.connect.browser_binding import get_browser_id, set_browser_cookie
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import get_provider
from credentials.connect.forms import PropertiesForm
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
_DONE = {Status.PENDING, Status.COMPLETED}


@connect_page("GET", "POST")
def show_link(request: HttpRequest, token: str) -> HttpResponse:
    """The link's page. A browser owns it once it came back with our cookie: previews do not."""
    browser = get_browser_id(request)
    if browser is None:
        return _with_cookie(request, token)
    found = links.link_open(token=token, browser_id=browser, actor=build_anonymous_actor(request))
    if found.status in _DONE or found.status == Status.CANCELLED:
        return _over(request, found, token)
    links.check_link_is_active(found)
    kind = get_registry().get_kind(found.kind)
    if kind is None:
        raise ConnectError("bad_request", "The kind is no longer known to this server.")
    if kind.needs_app:
        return _page(request, found, token, kind, None)
    sent = request.POST if request.method == "POST" else None
    form = PropertiesForm(kind, sent, given=found.properties)
    if request.method == "POST" and form.is_valid():
        return _submitted(request, found, token, kind, form)
    return _page(request, found, token, kind, form)


@connect_page("GET")
def continue_to_provider(request: HttpRequest, token: str) -> HttpResponse:
    """Continue: away to the provider. A link and not a form, see `presenting.POLICY`."""
    found, browser = _own(request, token)
    links.check_link_is_active(found)
    draft = links.draft_of_link(found)
    return redirect_see_other(
        attempt_begin(
            flow_request=draft,
            state=token,
            browser_id=browser,
            actor=build_anonymous_actor(request),
            link=found,
        )
    )


@connect_page("POST")
def cancel_link(request: HttpRequest, token: str) -> HttpResponse:
    found, _ = _own(request, token)
    links.link_cancel(link=found, actor=build_anonymous_actor(request))
    return redirect_see_other(reverse("connect-back", args=[token]))


@connect_page("GET")
def show_result(request: HttpRequest, token: str) -> HttpResponse:
    """How it ended, and on to the company at once where it said whereto."""
    found, _ = _own(request, token)
    if found.status not in _DONE and found.status != Status.CANCELLED:
        return redirect_see_other(reverse("connect-link", args=[token]))
    response = _over(request, found, token)
    if url := build_return_url(found):
        response["Refresh"] = f"0; url={url}"
    return response


def redirect_after_callback(found: ConnectLink, *, token: str) -> HttpResponse:
    """From the provider back to the company, or to a page of ours that says that it worked."""
    found.refresh_from_db(fields=["status"])
    return redirect_see_other(build_return_url(found) or reverse("connect-back", args=[token]))


def build_return_url(found: ConnectLink) -> str:
    """Where the person goes next: never with a secret; the status is for show, /complete decides.

    "" for nowhere, and for an address that the company has withdrawn since.
    """
    if found.return_to not in get_return_urls(found.account_id, found.oauth_app):
        return ""
    return add_query_params(
        found.return_to, {"connect_link": str(found.id), "status": str(found.status)}
    )


def _with_cookie(request: HttpRequest, token: str) -> HttpResponse:
    links.get_link_by_token(token=token)
    if "c" in request.GET or request.method != "GET":
        raise ConnectError("cookies_off")
    response = redirect_see_other(f"{request.path}?c=1")
    set_browser_cookie(response, generate_token())
    return response


def _own(request: HttpRequest, token: str) -> tuple[ConnectLink, str]:
    """The link, if this browser opened it first."""
    browser = get_browser_id(request)
    if browser is None:
        raise ConnectError("cookies_off")
    return links.link_open(
        token=token, browser_id=browser, actor=build_anonymous_actor(request)
    ), browser


def _submitted(
    request: HttpRequest, found: ConnectLink, token: str, kind: Kind, form: PropertiesForm
) -> HttpResponse:
    try:
        links.link_submit(
            link=found, properties=form.get_properties(), actor=build_anonymous_actor(request)
        )
    except InvalidInputError as problem:
        form.add_validation_errors(problem)
        return _page(request, found, token, kind, form)
    return redirect_see_other(reverse("connect-back", args=[token]))


def _page(
    request: HttpRequest, found: ConnectLink, token: str, kind: Kind, form: PropertiesForm | None
) -> HttpResponse:
    context: dict[str, Any] = {
        "link": found,
        "token": token,
        "kind": kind,
        "provider": get_provider(kind.provider),
        "form": form,
    }
    status = 200 if form is None or not form.errors else 422
    response = render(request, "connect/connect.html", context, status=status)
    # Under no-referrer, browsers send forms with `Origin: null`, which the CSRF check refuses. Other
    # sites are told as little by this.
    response["Referrer-Policy"] = "same-origin"
    return response


def _over(request: HttpRequest, found: ConnectLink, token: str) -> HttpResponse:
    kind = get_registry().get_kind(found.kind)
    context = {
        "link": found,
        "token": token,
        "provider": get_provider(kind.provider) if kind else None,
        "return_to": build_return_url(found),
    }
    name = "cancelled" if found.status == Status.CANCELLED else "connected"
    return render(request, f"connect/{name}.html", context)
