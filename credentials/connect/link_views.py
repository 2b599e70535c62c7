"""The pages of a connect link: what is asked for, Continue or a form, and how it ended."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from common.errors import Invalid
from credentials.connect import links
from credentials.connect.authorization_attempts import attempt_begin
from credentials.connect.browser_binding import browser_of, remember
from credentials.connect.errors import Refusal
from credentials.connect.flow_request import provider_of
from credentials.connect.forms import PropertiesForm
from credentials.connect.links_and_callbacks import with_parameters
from credentials.connect.models import ConnectLink
from credentials.connect.settings import return_addresses
from credentials.connect.tokens import new_token
from credentials.connect.view_decorators import onlooker, page, see_other
from providers.kinds import Kind
from providers.registry import registry

Status = ConnectLink.Status
_DONE = {Status.PENDING, Status.COMPLETED}


@page("GET", "POST")
def link(request: HttpRequest, token: str) -> HttpResponse:
    """The link's page. A browser owns it once it came back with our cookie: previews do not."""
    browser = browser_of(request)
    if browser is None:
        return _with_cookie(request, token)
    found = links.link_open(token=token, browser=browser, actor=onlooker(request))
    if found.status in _DONE or found.status == Status.CANCELLED:
        return _over(request, found, token)
    links.check_live(found)
    kind = registry().kind(found.kind)
    if kind is None:
        raise Refusal("bad_request", "The kind is no longer known to this server.")
    if kind.needs_app:
        return _page(request, found, token, kind, None)
    sent = request.POST if request.method == "POST" else None
    form = PropertiesForm(kind, sent, given=found.properties)
    if request.method == "POST" and form.is_valid():
        return _submitted(request, found, token, kind, form)
    return _page(request, found, token, kind, form)


@page("GET")
def go(request: HttpRequest, token: str) -> HttpResponse:
    """Continue: away to the provider. A link and not a form, see `presenting.POLICY`."""
    found, browser = _own(request, token)
    links.check_live(found)
    draft = links.draft_of_link(found)
    return see_other(
        attempt_begin(
            draft=draft, state=token, browser=browser, actor=onlooker(request), link=found
        )
    )


@page("POST")
def cancel(request: HttpRequest, token: str) -> HttpResponse:
    found, _ = _own(request, token)
    links.link_cancel(link=found, actor=onlooker(request))
    return see_other(reverse("connect-back", args=[token]))


@page("GET")
def back(request: HttpRequest, token: str) -> HttpResponse:
    """How it ended, and on to the company at once where it said whereto."""
    found, _ = _own(request, token)
    if found.status not in _DONE and found.status != Status.CANCELLED:
        return see_other(reverse("connect-link", args=[token]))
    response = _over(request, found, token)
    if url := return_of(found):
        response["Refresh"] = f"0; url={url}"
    return response


def after_link(found: ConnectLink, *, token: str) -> HttpResponse:
    """From the provider back to the company, or to a page of ours that says that it worked."""
    found.refresh_from_db(fields=["status"])
    return see_other(return_of(found) or reverse("connect-back", args=[token]))


def return_of(found: ConnectLink) -> str:
    """Where the person goes next: never with a secret; the status is for show, /complete decides.

    "" for nowhere, and for an address that the company has withdrawn since.
    """
    if found.return_to not in return_addresses(found.account_id, found.oauth_app):
        return ""
    return with_parameters(
        found.return_to, {"connect_link": str(found.id), "status": str(found.status)}
    )


def _with_cookie(request: HttpRequest, token: str) -> HttpResponse:
    links.link_seen(token=token)
    if "c" in request.GET or request.method != "GET":
        raise Refusal("cookies_off")
    response = see_other(f"{request.path}?c=1")
    remember(response, new_token())
    return response


def _own(request: HttpRequest, token: str) -> tuple[ConnectLink, str]:
    """The link, if this browser opened it first."""
    browser = browser_of(request)
    if browser is None:
        raise Refusal("cookies_off")
    return links.link_open(token=token, browser=browser, actor=onlooker(request)), browser


def _submitted(
    request: HttpRequest, found: ConnectLink, token: str, kind: Kind, form: PropertiesForm
) -> HttpResponse:
    try:
        links.link_submit(link=found, properties=form.properties(), actor=onlooker(request))
    except Invalid as problem:
        form.refuse(problem)
        return _page(request, found, token, kind, form)
    return see_other(reverse("connect-back", args=[token]))


def _page(
    request: HttpRequest, found: ConnectLink, token: str, kind: Kind, form: PropertiesForm | None
) -> HttpResponse:
    context: dict[str, Any] = {
        "link": found,
        "token": token,
        "kind": kind,
        "provider": provider_of(kind.provider),
        "form": form,
    }
    status = 200 if form is None or not form.errors else 422
    response = render(request, "connect/connect.html", context, status=status)
    # Under no-referrer, browsers send forms with `Origin: null`, which the CSRF check refuses. Other
    # sites are told as little by this.
    response["Referrer-Policy"] = "same-origin"
    return response


def _over(request: HttpRequest, found: ConnectLink, token: str) -> HttpResponse:
    kind = registry().kind(found.kind)
    context = {
        "link": found,
        "token": token,
        "provider": provider_of(kind.provider) if kind else None,
        "return_to": return_of(found),
    }
    name = "cancelled" if found.status == Status.CANCELLED else "connected"
    return render(request, f"connect/{name}.html", context)
