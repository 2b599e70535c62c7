"""The steps of a browser and of a company's backend, with Django's test client."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from django.test import Client

from credentials.connect.models import AuthorizationAttempt, PendingGrant
from credentials.models import Credential
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.credentials.connect.server import AuthorizationServer

RETURN = "https://acme.example/connected"


class Browser:
    """One person's browser. It keeps cookies, and does not follow redirects by itself."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)

    def open(self, address: str) -> Any:
        parts = urlsplit(address)
        return self.client.get(f"{parts.path}?{parts.query}" if parts.query else parts.path)

    def post(self, address: str, fields: dict[str, str] | None = None) -> Any:
        return self.client.post(urlsplit(address).path, fields or {})

    def follow_redirects(self, address: str) -> Any:
        """Open a page and follow redirects to our own pages."""
        response = self.open(address)
        for _ in range(3):
            if response.status_code != 303 or not response["Location"].startswith("/"):
                return response
            response = self.open(response["Location"])
        return response


def build_authorize_url(app: OAuthApp, **more: Any) -> str:
    params = {
        "client_id": str(app.id),
        "redirect_uri": RETURN,
        "state": "company-state",
        "kind": f"{app.provider}_oauth2",
        **more,
    }
    return "/link/oauth2/authorize?" + urlencode({n: v for n, v in params.items() if v is not None})


def start_flow(browser: Browser, app: OAuthApp, **more: Any) -> str:
    """Start the documented flow; return the provider's URL."""
    response = browser.open(build_authorize_url(app, **more))
    assert response.status_code == 303, response.content
    return str(response["Location"])


def approve_and_get_code(
    browser: Browser, app: OAuthApp, server: AuthorizationServer, **more: Any
) -> str:
    """Run the documented flow; return the code that the company gets."""
    response = browser.open(server.approve(start_flow(browser, app, **more)))
    assert response.status_code == 303, response.content
    return parse_query(response["Location"])["code"]


def build_callback_path(app: OAuthApp, **sent: str) -> str:
    """Return the path of alpha's callback with `params`."""
    pairs = "&".join(f"{name}={quote(value)}" for name, value in sent.items())
    return f"/link/oauth2/callback/alpha/{app.id}?{pairs}"


def exchange_code_at_api(app: OAuthApp, code: str, /, **more: Any) -> Any:
    fields = {"code": code, "client_id": str(app.id), "client_secret": "app-secret", **more}
    body = {name: value for name, value in fields.items() if value is not None}
    return ApiClient().post("/link/oauth2/token", body)


def parse_query(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def press_continue(browser: Browser, link: dict[str, Any]) -> str:
    """Open a connect link and press Continue; return the provider's URL."""
    assert browser.open(link["url"]).status_code == 200
    response = browser.post(f"{link['url']}/continue")
    assert response.status_code == 200, response.content
    return get_refresh_url(response)


def get_refresh_url(response: Any) -> str:
    """Return the URL to which a page goes on by itself."""
    return str(response["Refresh"]).removeprefix("0; url=")


def connect_by_link(browser: Browser, link: dict[str, Any], server: AuthorizationServer) -> Any:
    """Open a link, press Continue and approve; return the last response."""
    return browser.open(server.approve(press_continue(browser, link)))


def fetch_link(api: ApiClient, link: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = api.get(f"/v1/connect-links/{link['id']}").json()
    return document


def complete_link(api: ApiClient, link: dict[str, Any]) -> Any:
    return api.post(f"/v1/connect-links/{link['id']}/complete")


def list_event_verbs() -> list[str]:
    """Return the verbs of events of connect and credentials, oldest first."""
    verbs = Event.objects.order_by("id").values_list("verb", flat=True)
    return [verb for verb in verbs if verb.startswith(("connect", "credential."))]


def get_failure_code() -> str:
    """Return the code of the only attempt's failure."""
    failure = AuthorizationAttempt.objects.get().failure
    assert failure is not None
    return str(failure["code"])


def list_failure_codes() -> list[str]:
    """Return the codes of failures in the events, oldest first."""
    rows = Event.objects.order_by("id").filter(verb__startswith="connect.")
    return [code for changed in rows.values_list("changed", flat=True) for code in changed]


def is_nothing_connected() -> bool:
    return not Credential.objects.exists() and not PendingGrant.objects.exists()


def assert_is_page(response: Any) -> None:
    """Assert that the response is a complete page with all security headers and without scripts."""
    assert response["Content-Type"].startswith("text/html")
    assert b"<h1>" in response.content
    assert b"<script" not in response.content
    assert "default-src 'none'" in response["Content-Security-Policy"]
    has_form = b"<form" in response.content
    assert response["Referrer-Policy"] == ("same-origin" if has_form else "no-referrer")
    assert "no-store" in response["Cache-Control"]
