"""Connect links: from POST /v1/connect-links to a credential, and everywhere it ends before."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.connect.models import AuthorizationAttempt, ConnectLink, PendingGrant
from credentials.models import Credential, Revocation
from tests.api import Api
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    continued,
    query,
    reasons,
    verbs,
    why,
)
from tests.credentials.connect.test_refusals import is_page
from tests.factories import make_app, make_token

KEY_RETURN = "https://acme.example/keys"


def connect(browser: Browser, link: dict[str, Any], server: Any) -> Any:
    """Open, continue, agree: what the browser gets at the end."""
    return browser.open(server.approve(continued(browser, link)))


def shown(api: Api, link: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = api.get(f"/v1/connect-links/{link['id']}").json()
    return document


def complete(api: Api, link: dict[str, Any]) -> Any:
    return api.post(f"/v1/connect-links/{link['id']}/complete")


def test_a_link_is_made_and_its_address_is_shown_once(api, make_link):
    link = make_link(name="Ann", owner_email="ann@acme.example", metadata={"plan": "pro"})
    assert link["status"] == "open"
    assert link["url"].startswith("http://testserver/connect/")
    assert link["scopes"] == ["read", "write"]
    again = shown(api, link)
    assert again == {**link, "url": None}
    assert api.get("/v1/connect-links").json()["data"] == [again]


def test_the_page_says_who_asks_for_what(browser, make_link):
    answer = browser.visit(make_link()["url"])
    assert answer.status_code == 200
    is_page(answer)
    text = answer.content.decode()
    assert "Connect Alpha to Acme" in text
    assert "<code>read</code>" in text
    assert "Continue to Alpha" in text
    assert "Cancel" in text


def test_a_whole_link(api, browser, make_link, alpha):
    link = make_link(name="Ann", owner_email="ann@acme.example", metadata={"plan": "pro"})
    answer = connect(browser, link, alpha)
    assert answer.status_code == 303
    assert answer["Location"] == f"{RETURN}?connect_link={link['id']}&status=pending"
    assert api.get("/v1/credentials").json()["data"] == []
    done = complete(api, link)
    assert done.status_code == 200, done.content
    assert done.json()["status"] == "completed"
    credential = api.get(f"/v1/credentials/{done.json()['credential_id']}").json()
    assert credential["name"] == "Ann"
    assert credential["owner_email"] == "ann@acme.example"
    assert credential["metadata"] == {"plan": "pro"}
    assert credential["properties"]["workspace"] == "ws-ann"
    assert verbs() == [
        "connect_link.created",
        "connect_link.opened",
        "connect.granted",
        "connect_link.pending",
        "credential.created",
        "connect_link.completed",
    ]


def test_completing_twice_is_completing_once(api, browser, make_link, alpha):
    link = make_link()
    connect(browser, link, alpha)
    assert complete(api, link).json() == complete(api, link).json()
    assert Credential.objects.count() == 1
    assert not PendingGrant.objects.exists()


def test_nothing_is_completed_before_it_is_pending(api, browser, make_link):
    link = make_link()
    assert complete(api, link).status_code == 409
    continued(browser, link)
    answer = complete(api, link)
    assert answer.status_code == 409
    assert answer.json()["link_status"] == "opened"
    assert not Credential.objects.exists()


def test_nothing_is_completed_after_ten_minutes(api, browser, make_link, alpha, settings):
    link = make_link()
    connect(browser, link, alpha)
    settings.CLOCK_SHIFT_SECONDS = 601
    assert complete(api, link).status_code == 409
    assert not Credential.objects.exists()


def test_another_account_completes_nothing(stranger, browser, make_link, alpha):
    link = make_link()
    connect(browser, link, alpha)
    assert complete(stranger, link).status_code == 404
    assert stranger.get(f"/v1/connect-links/{link['id']}").status_code == 404
    assert stranger.delete(f"/v1/connect-links/{link['id']}").status_code == 404
    assert stranger.get("/v1/connect-links").json()["data"] == []


@pytest.mark.parametrize("scope", ["credentials:read", "credentials:use", "oauth_apps:write"])
def test_completing_needs_the_scope_to_write(account, browser, make_link, alpha, scope):
    link = make_link()
    connect(browser, link, alpha)
    assert complete(Api(make_token(account, scope)), link).status_code == 403


def test_the_first_browser_owns_the_link(api, browser, make_link):
    link = make_link()
    browser.visit(link["url"])
    answer = Browser().visit(link["url"])
    assert answer.status_code == 403
    is_page(answer)
    assert b"another browser" in answer.content
    for path in ("/continue", "/back"):
        assert Browser().visit(link["url"] + path).status_code in {400, 403}
    assert reasons() == ["link_taken"]
    assert browser.visit(link["url"]).status_code == 200


def test_a_victim_that_finishes_for_an_attacker_connects_nothing(api, browser, make_link, alpha):
    """Session fixation: the attacker opens, and lures the victim to the provider."""
    address = continued(browser, make_link())
    answer = Browser().open(alpha.approve(address))
    assert answer.status_code == 403
    assert not PendingGrant.objects.exists()
    assert not alpha.token_calls


def test_a_preview_that_keeps_no_cookies_does_not_own_the_link(make_link, browser):
    link = make_link()
    for _ in range(2):
        preview = Browser()
        answer = preview.open(link["url"])
        preview.client.cookies.clear()
        assert preview.open(answer["Location"]).status_code == 400
    assert ConnectLink.objects.get().status == "open"
    assert browser.visit(link["url"]).status_code == 200


@pytest.mark.parametrize("token", ["x", "a" * 43, "%00", "..%2f"])
def test_a_link_that_nobody_made(db, browser, token):
    answer = browser.visit(f"/connect/{token}")
    assert answer.status_code in {400, 404}


def test_a_link_ends(api, browser, make_link, settings):
    link = make_link(expires_in=60)
    browser.visit(link["url"])
    settings.CLOCK_SHIFT_SECONDS = 61
    answer = browser.visit(link["url"])
    assert answer.status_code == 410
    assert b"new link" in answer.content
    assert browser.open(f"{link['url']}/continue").status_code == 410
    assert shown(api, link)["status"] == "expired"


def test_a_link_that_ends_on_the_way_holds_nothing(browser, make_link, alpha, settings):
    link = make_link(expires_in=60)
    address = continued(browser, link)
    settings.CLOCK_SHIFT_SECONDS = 61
    answer = browser.open(alpha.approve(address))
    assert answer.status_code == 410
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1


def test_cancel_by_the_person(api, browser, make_link):
    link = make_link()
    browser.visit(link["url"])
    answer = browser.post(f"{link['url']}/cancel")
    assert answer.status_code == 303
    page = browser.open(answer["Location"])
    back = f"{RETURN}?connect_link={link['id']}&status=cancelled"
    assert page["Refresh"] == f"0; url={back}"
    assert b"Nothing was connected" in page.content
    assert shown(api, link)["status"] == "cancelled"
    assert browser.open(f"{link['url']}/continue").status_code == 410


def test_cancel_needs_its_own_page(make_link, browser):
    from django.test import Client

    link = make_link()
    browser.client = Client(enforce_csrf_checks=True)
    browser.visit(link["url"])
    answer = browser.post(f"{link['url']}/cancel")
    assert answer.status_code == 403
    is_page(answer)
    assert ConnectLink.objects.get().status == "opened"


def test_cancel_by_the_company_gives_the_pending_grant_back(api, browser, make_link, alpha):
    link = make_link()
    connect(browser, link, alpha)
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204
    assert shown(api, link)["status"] == "cancelled"
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1
    assert complete(api, link).status_code == 409
    assert browser.visit(link["url"]).status_code == 200
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204


def test_a_completed_link_is_not_cancelled(api, browser, make_link, alpha):
    link = make_link()
    connect(browser, link, alpha)
    complete(api, link)
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 409


def test_who_said_no_may_try_again(api, browser, make_link, alpha):
    link = make_link()
    state = query(continued(browser, link))["state"]
    path = f"/link/oauth2/callback/alpha/{link['oauth_app_id']}"
    sent = f"state={state}&error=access_denied&iss={alpha.url}"
    answer = browser.open(f"{path}?{sent}")
    assert answer.status_code == 400
    assert f"{RETURN}?connect_link={link['id']}&amp;status=denied".encode() in answer.content
    assert link["url"].removeprefix("http://testserver").encode() in answer.content
    found = shown(api, link)
    assert found["status"] == "opened"
    assert found["failure"]["code"] == "access_denied"
    assert connect(browser, link, alpha).status_code == 303
    assert shown(api, link)["failure"] is None


def test_without_return_to_the_person_stays_with_us(browser, make_link, alpha):
    answer = connect(browser, make_link(return_to=None), alpha)
    page = browser.open(answer["Location"])
    assert page.status_code == 200
    assert b"Alpha is connected" in page.content
    assert "Refresh" not in page


def test_a_link_connects_once(browser, make_link, alpha):
    link = make_link()
    first, second = continued(browser, link), continued(browser, link)
    assert browser.open(alpha.approve(first)).status_code == 303
    assert browser.open(alpha.approve(second)).status_code == 410
    assert PendingGrant.objects.count() == 1


def test_fewer_scopes_than_asked_for_are_noted(api, browser, make_link, alpha):
    alpha.granted_scope = "read extra"
    link = make_link()
    connect(browser, link, alpha)
    assert shown(api, link)["notes"] == [
        "Not given, though asked for: write.",
        "Given without being asked for: extra.",
    ]


def test_a_link_may_ask_for_less(browser, make_link):
    assert query(continued(browser, make_link(scopes=["read"])))["scope"] == "read"


def test_completing_by_itself_is_chosen_per_app(api, app, browser, make_link, alpha):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    assert api.get(path).json()["completes_itself"] is False
    assert api.patch(path, {"completes_itself": True}).status_code == 200
    link = make_link()
    answer = connect(browser, link, alpha)
    assert query(answer["Location"])["status"] == "completed"
    assert shown(api, link)["credential_id"] == str(Credential.objects.get().id)


class TestReconnect:
    @pytest.fixture
    def credential(self, api, browser, make_link, alpha) -> dict[str, Any]:
        link = make_link()
        connect(browser, link, alpha)
        id = complete(api, link).json()["credential_id"]
        found: dict[str, Any] = api.get(f"/v1/credentials/{id}").json()
        return found

    def test_the_same_account_gets_a_new_grant(self, api, browser, make_link, alpha, credential):
        link = make_link(credential_id=credential["id"])
        assert connect(browser, link, alpha).status_code == 303
        assert complete(api, link).json()["credential_id"] == credential["id"]
        row = Credential.objects.get()
        assert row.revision == 2

    def test_the_page_says_so(self, browser, make_link, credential):
        page = browser.visit(make_link(credential_id=credential["id"])["url"])
        assert b"same account as before" in page.content

    def test_another_account_is_refused_and_given_back(
        self, api, browser, make_link, alpha, credential
    ):
        link = make_link(credential_id=credential["id"])
        alpha.user = "eve"
        answer = connect(browser, link, alpha)
        assert answer.status_code == 400
        assert b"another account" in answer.content
        assert not PendingGrant.objects.exists()
        assert Revocation.objects.get().properties["workspace"] == "ws-eve"
        assert shown(api, link)["failure"]["code"] == "account_mismatch"
        assert shown(api, link)["status"] == "opened"
        alpha.user = "ann"
        assert connect(browser, link, alpha).status_code == 303

    def test_an_account_that_is_connected_elsewhere_keeps_its_grant(
        self, api, browser, make_link, alpha, credential
    ):
        alpha.user = "eve"
        other = make_link()
        connect(browser, other, alpha)
        complete(api, other)
        link = make_link(credential_id=credential["id"])
        assert connect(browser, link, alpha).status_code == 400
        assert not Revocation.objects.exists()

    def test_the_companys_own_id_does_not_make_another_account_the_same(
        self, api, browser, make_link, alpha
    ):
        first = make_link(external_id="customer-1")
        connect(browser, first, alpha)
        id = complete(api, first).json()["credential_id"]
        alpha.user = "eve"
        assert connect(browser, make_link(credential_id=id), alpha).status_code == 400
        assert reasons() == ["account_mismatch"]

    def test_a_credential_that_is_gone_is_not_made_anew(
        self, api, browser, make_link, alpha, credential
    ):
        link = make_link(credential_id=credential["id"])
        connect(browser, link, alpha)
        api.delete(f"/v1/credentials/{credential['id']}")
        assert complete(api, link).status_code == 409
        assert not Credential.objects.exists()

    def test_the_app_and_kind_are_the_credentials(self, api, account, credential):
        answer = api.post("/v1/connect-links", {"credential_id": credential["id"]})
        assert answer.status_code == 201
        assert answer.json()["kind"] == "alpha_oauth2"
        other = make_app(account, "alpha", redirect_uris=[RETURN])
        sent = {"credential_id": credential["id"], "oauth_app_id": str(other.id)}
        answer = api.post("/v1/connect-links", sent)
        assert "oauth_app_id" in answer.json()["validation_errors"]

    def test_another_accounts_credential_is_not_there(self, stranger, credential):
        answer = stranger.post("/v1/connect-links", {"credential_id": credential["id"]})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"kind": "nope"}, "kind"),
        ({"kind": "alpha_key"}, "oauth_app_id"),
        ({"kind": "github_app", "oauth_app_id": None}, "kind"),
        ({"kind": None, "oauth_app_id": None}, "kind"),
        ({"oauth_app_id": None}, "oauth_app_id"),
        ({"oauth_app_id": "01989aa0-0000-7000-8000-000000000000"}, "oauth_app_id"),
        ({"oauth_app_id": 7}, "oauth_app_id"),
        ({"kind": "alpha_silent_oauth2"}, "external_id"),
        ({"return_to": ""}, "return_to"),
        ({"expires_in": 59}, "expires_in"),
        ({"expires_in": 604801}, "expires_in"),
        ({"expires_in": "60"}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"expires_in": 60.0}, "expires_in"),
        ({"owner_email": "nobody"}, "owner_email"),
        ({"metadata": None, "name": " "}, "name"),
        ({"metadata": [1]}, "metadata"),
        ({"scopes": ["admin"]}, "scopes"),
        ({"properties": {"refresh_token": "x"}}, "properties.refresh_token"),
        ({"credential_id": "x"}, "credential_id"),
        ({"credential_id": "01989aa0-0000-7000-8000-000000000000"}, "credential_id"),
        ({"nope": 1}, "nope"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
def test_a_wrong_link_is_named(api, app, sent, field):
    body = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2", **sent}
    body = {name: value for name, value in body.items() if value is not None}
    answer = api.post("/v1/connect-links", body)
    assert answer.status_code == 422, answer.content
    assert field in answer.json()["validation_errors"]
    assert not ConnectLink.objects.exists()


def test_a_request_that_is_sent_again_is_one_link(api, app):
    sent = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2"}
    first, again = (
        api.post("/v1/connect-links", sent, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert ConnectLink.objects.count() == 1


class TestKeys:
    @pytest.fixture
    def link(self, api, app) -> dict[str, Any]:
        api.patch("/v1/connect-settings", {"return_urls": [KEY_RETURN]})
        sent = {"kind": "alpha_key", "return_to": KEY_RETURN, "external_id": "customer-1"}
        answer = api.post("/v1/connect-links", sent)
        assert answer.status_code == 201, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def test_the_page_is_a_form_by_the_kinds_schema(self, browser, link):
        text = browser.visit(link["url"]).content.decode()
        assert '<input type="password" name="key"' in text
        assert '<select name="region"' in text
        assert 'type="checkbox" name="test"' in text
        assert text.count("<label") == 3
        assert "An account" not in text

    def test_what_was_typed_waits_for_the_company(self, api, browser, link):
        browser.visit(link["url"])
        answer = browser.post(link["url"], {"key": "k-secret-1", "region": "eu", "test": "on"})
        assert answer.status_code == 303
        page = browser.open(answer["Location"])
        back = f"{KEY_RETURN}?connect_link={link['id']}&status=pending"
        assert page["Refresh"] == f"0; url={back}"
        assert not Credential.objects.exists()
        id = complete(api, link).json()["credential_id"]
        found = api.get(f"/v1/credentials/{id}").json()
        assert found["properties"] == {
            "kind": "alpha_key", "key": "**********", "region": "eu", "test": True,
        }  # fmt: skip
        assert found["external_id"] == "customer-1"

    @pytest.mark.parametrize(
        "fields",
        [{}, {"key": ""}, {"key": "k-secret-1", "region": "moon"}, {"key": "k-secret-1" * 2000}],
        ids=["nothing", "empty", "wrong region", "too long"],
    )
    def test_a_wrong_form_is_shown_again_without_the_secret(self, browser, link, fields):
        browser.visit(link["url"])
        answer = browser.post(link["url"], fields)
        assert answer.status_code == 422
        is_page(answer)
        text = answer.content.decode()
        assert "This is not right yet" in text
        assert "k-secret-1" not in text
        assert 'aria-invalid="true"' in text
        assert not PendingGrant.objects.exists()

    def test_a_form_is_for_the_browser_that_opened_it(self, browser, link):
        browser.visit(link["url"])
        other = Browser()
        other.visit(link["url"])
        assert other.post(link["url"], {"key": "k"}).status_code == 403
        assert not PendingGrant.objects.exists()

    def test_a_form_is_sent_once(self, browser, link):
        browser.visit(link["url"])
        assert browser.post(link["url"], {"key": "k-1"}).status_code == 303
        browser.post(link["url"], {"key": "k-2"})
        assert PendingGrant.objects.count() == 1

    def test_return_urls_are_the_accounts_own_list(self, api, app):
        for uri in ("javascript:alert(1)", "http://acme.example", "https://u@acme.example", "/x"):
            assert api.patch("/v1/connect-settings", {"return_urls": [uri]}).status_code == 422
        sent = {"kind": "alpha_key", "return_to": RETURN}
        assert api.post("/v1/connect-links", sent).status_code == 422

    def test_completing_by_itself_is_chosen_per_account(self, api, browser, link):
        api.patch("/v1/connect-settings", {"completes_itself": True})
        browser.visit(link["url"])
        browser.post(link["url"], {"key": "k-1"})
        assert Credential.objects.count() == 1

    def test_a_key_is_reconnected_by_the_companys_own_id(self, api, browser, link):
        browser.visit(link["url"])
        browser.post(link["url"], {"key": "k-1"})
        id = complete(api, link).json()["credential_id"]
        again = api.post("/v1/connect-links", {"credential_id": id}).json()
        browser.visit(again["url"])
        browser.post(again["url"], {"key": "k-2"})
        assert complete(api, again).json()["credential_id"] == id
        assert Credential.objects.count() == 1

    def test_a_key_that_nothing_else_identifies_is_not_reconnected(self, api, app, browser):
        link = api.post("/v1/connect-links", {"kind": "stripe_key"}).json()
        browser.visit(link["url"])
        browser.post(link["url"], {"secret": "sk_test_1"})
        id = complete(api, link).json()["credential_id"]
        answer = api.post("/v1/connect-links", {"credential_id": id})
        assert answer.status_code == 422
        assert "credential_id" in answer.json()["validation_errors"]


def test_the_short_callback_is_not_for_providers_with_many_issuers(api, account):
    app = make_app(account, "salesforce")
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    answer = api.patch(path, {"short_callback": True})
    assert answer.status_code == 422
    assert "short_callback" in answer.json()["validation_errors"]


def test_an_attempt_says_why_it_failed(browser, make_link, alpha):
    alpha.token_answer = (401, {"error": "invalid_client"})
    assert connect(browser, make_link(), alpha).status_code == 400
    assert why() == "app_wrong"
    failure = AuthorizationAttempt.objects.get().failure or {}
    assert "client id and secret" in failure["detail"]
