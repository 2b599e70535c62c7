"""Complete flows in a real browser, without JavaScript, with real authorization servers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from credentials.connect.models import AuthorizationAttempt, PendingGrant
from credentials.models import Credential
from tests.browser.conftest import CHROMIUM
from tests.browser.connect.conftest import approve, get_heading, log_in
from tests.browser.navigation import follow, press
from tests.credentials.connect.flows import (
    build_authorize_url,
    exchange_code_at_api,
    list_event_verbs,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
# OAuth itself does not say whose account it is, so both servers have a call for it.
KINDS = {"alpha": "alpha_called_oauth2", "beta": "beta_called_oauth2"}


def build_authorize_address(site: str, app: Any, company: Any, **more: Any) -> str:
    params = {"redirect_uri": company.address, "kind": KINDS[app.provider], **more}
    return site + build_authorize_url(app, **params)


def make_link(api: Any, app: Any, company: Any, **more: Any) -> dict[str, Any]:
    body = {"oauth_app_id": str(app.id), "kind": KINDS[app.provider], "return_to": company.address}
    response = api.post("/v1/connect-links", {**body, **more})
    assert response.status_code == 201, response.content
    link: dict[str, Any] = response.json()
    return link


@pytest.mark.parametrize("index", [0, 1], ids=["django-oauth-toolkit", "Authlib"])
def test_authorize_to_an_imported_credential(page, site, apps, company, api, index):
    app = apps[index]
    page.goto(build_authorize_address(site, app, company))
    approve(page)
    assert get_heading(page) == "Welcome back"
    back = company.last()
    assert back["state"] == "company-state"
    response = exchange_code_at_api(app, back["code"])
    assert response.status_code == 200, response.content
    credential = response.json()["credential"]
    assert credential["properties"]["user"] == "ann"
    assert api.post("/v1/credentials", credential).status_code == 200


@pytest.mark.parametrize("index", [0, 1], ids=["django-oauth-toolkit", "Authlib"])
def test_start_auth_to_an_imported_credential(page, site, apps, company, api, index):
    app = apps[index]
    body = {
        "oauth_app_id": str(app.id),
        "credential_kind": KINDS[app.provider],
        "redirect_url": company.address,
        "state": {"user": 7},
    }
    page.goto(api.post("/v1/credentials/start-auth", body).json()["start_url"])
    approve(page)
    response = exchange_code_at_api(app, company.last()["code"])
    assert response.json()["state"] == {"user": 7}
    assert api.post("/v1/credentials", response.json()["credential"]).status_code == 200


def test_link_is_completed_and_reconnected(people, apps, company, api):
    link = make_link(api, apps[0], company)
    page = people()
    page.goto(link["url"])
    assert get_heading(page) == "Connect Alpha to Acme"
    press(page, "Continue to Alpha")
    approve(page)
    assert company.last() == {"connect_link": link["id"], "status": "pending"}
    completed = api.post(f"/v1/connect-links/{link['id']}/complete").json()

    again = make_link(api, apps[0], company, credential_id=completed["credential_id"])
    eve = people()
    eve.goto(again["url"])
    press(eve, "Continue to Alpha")
    approve(eve, "eve")
    assert get_heading(eve) == "This is a different account"
    assert not PendingGrant.objects.exists()
    eve.context.clear_cookies(name="sessionid")
    follow(eve, "Try again")
    press(eve, "Continue to Alpha")
    approve(eve, "ann")
    assert company.last()["status"] == "pending"
    reconnected = api.post(f"/v1/connect-links/{again['id']}/complete").json()
    assert reconnected["credential_id"] == completed["credential_id"]
    assert Credential.objects.count() == 1


@pytest.mark.parametrize("index", [0, 1], ids=["django-oauth-toolkit", "Authlib"])
def test_user_denies_access(page, site, apps, company, index):
    page.goto(build_authorize_address(site, apps[index], company))
    approve(page, button="Cancel")
    assert get_heading(page) == "You did not give access"
    follow(page, "Go back")
    assert company.last() == {"error": "access_denied", "state": "company-state"}
    assert list_event_verbs()[-1] == "connect.denied"


def test_cancel_redirects_to_company(page, apps, company, api):
    link = make_link(api, apps[0], company)
    page.goto(link["url"])
    press(page, "Cancel")
    page.wait_for_url(f"{company.address}**")
    assert company.last() == {"connect_link": link["id"], "status": "cancelled"}


def test_used_code_is_rejected(page, site, apps, company):
    page.goto(build_authorize_address(site, apps[0], company))
    approve(page)
    code = company.last()["code"]
    assert exchange_code_at_api(apps[0], code).status_code == 200
    assert exchange_code_at_api(apps[0], code).json()["error"] == "invalid_grant"


def test_session_fixation_across_two_browsers(people, site, apps, company, servers):
    """Test that a victim who approves an attacker's flow connects nothing."""
    attacker, victim = people(), people()
    attacker.goto(build_authorize_address(site, apps[0], company))
    before = servers[0].tokens()
    victim.goto(attacker.url)
    approve(victim, "eve")
    assert get_heading(victim) == "This was started in another browser"
    assert servers[0].tokens() == before
    assert company.visits == []
    assert not PendingGrant.objects.exists()


def test_server_rejects_missing_code_challenge(page, site, apps, company):
    """Test a PKCE downgrade: without a challenge, the server issues no code."""
    page.goto(build_authorize_address(site, apps[0], company))
    stripped = re.sub(r"%26code_challenge(_method)?%3D[A-Za-z0-9_-]*", "", page.url)
    assert len(stripped) < len(page.url) - 80
    page.goto(stripped)
    log_in(page)
    assert company.visits == []
    assert AuthorizationAttempt.objects.get().status in {"waiting", "failed"}
    assert not PendingGrant.objects.exists()


def test_mix_up_of_two_real_servers(page, site, apps, company, servers):
    """Test the mix-up attack: one server's response at the callback of the other's app."""
    alpha, beta = apps
    other = f"{site}/link/oauth2/callback/alpha/{alpha.id}"
    servers[1].register(beta, other, name=f"{beta.client_id}-wide")
    page.goto(build_authorize_address(site, beta, company))
    before = servers[0].tokens(), servers[1].tokens()
    swapped = page.url.replace(f"beta%252F{beta.id}", f"alpha%252F{alpha.id}")
    assert swapped != page.url
    page.goto(swapped.replace(beta.client_id, f"{beta.client_id}-wide"))
    approve(page)
    assert get_heading(page) == "The response came to the wrong address"
    assert company.visits == []
    assert (servers[0].tokens(), servers[1].tokens()) == before
