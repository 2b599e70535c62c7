"""Connect links: from POST /v1/connect-links to a credential."""

from __future__ import annotations

import pytest

from credentials.connect.models import ConnectLink, PendingGrant
from credentials.models import Credential
from tests.api import ApiClient
from tests.credentials.connect.flows import (
    RETURN,
    assert_is_page,
    complete_link,
    connect_by_link,
    fetch_link,
    list_event_verbs,
    parse_query,
    press_continue,
)
from tests.factories import make_app, make_token


def test_create_returns_url_once(api, make_link):
    link = make_link(name="Ann", owner_email="ann@acme.example", metadata={"plan": "pro"})
    assert link["status"] == "open"
    assert link["url"].startswith("http://testserver/connect/")
    assert link["scopes"] == ["read", "write"]
    again = fetch_link(api, link)
    assert again == {**link, "url": None}
    assert api.get("/v1/connect-links").json()["data"] == [again]


def test_page_names_company_and_scopes(browser, make_link):
    response = browser.follow_redirects(make_link()["url"])
    assert response.status_code == 200
    assert_is_page(response)
    text = response.content.decode()
    assert "Connect Alpha to Acme" in text
    assert "<code>read</code>" in text
    assert "Continue to Alpha" in text
    assert "Cancel" in text


def test_link_from_creation_to_credential(api, browser, make_link, alpha):
    link = make_link(name="Ann", owner_email="ann@acme.example", metadata={"plan": "pro"})
    response = connect_by_link(browser, link, alpha)
    assert response.status_code == 303
    assert response["Location"] == f"{RETURN}?connect_link={link['id']}&status=pending"
    assert api.get("/v1/credentials").json()["data"] == []
    completion = complete_link(api, link)
    assert completion.status_code == 200, completion.content
    assert completion.json()["status"] == "completed"
    credential = api.get(f"/v1/credentials/{completion.json()['credential_id']}").json()
    assert credential["name"] == "Ann"
    assert credential["owner_email"] == "ann@acme.example"
    assert credential["metadata"] == {"plan": "pro"}
    assert credential["properties"]["workspace"] == "ws-ann"
    assert list_event_verbs() == [
        "connect_link.created",
        "connect_link.opened",
        "connect.granted",
        "connect_link.pending",
        "credential.created",
        "connect_link.completed",
    ]


def test_complete_is_idempotent(api, browser, make_link, alpha):
    link = make_link()
    connect_by_link(browser, link, alpha)
    assert complete_link(api, link).json() == complete_link(api, link).json()
    assert Credential.objects.count() == 1
    assert not PendingGrant.objects.exists()


def test_complete_rejects_link_that_is_not_pending(api, browser, make_link):
    link = make_link()
    assert complete_link(api, link).status_code == 409
    press_continue(browser, link)
    response = complete_link(api, link)
    assert response.status_code == 409
    assert response.json()["link_status"] == "opened"
    assert not Credential.objects.exists()


def test_complete_rejects_expired_grant(api, browser, make_link, alpha, settings):
    link = make_link()
    connect_by_link(browser, link, alpha)
    settings.CLOCK_SHIFT_SECONDS = 601
    assert complete_link(api, link).status_code == 409
    assert not Credential.objects.exists()


def test_link_of_another_account_is_not_found(other_api, browser, make_link, alpha):
    link = make_link()
    connect_by_link(browser, link, alpha)
    assert complete_link(other_api, link).status_code == 404
    assert other_api.get(f"/v1/connect-links/{link['id']}").status_code == 404
    assert other_api.delete(f"/v1/connect-links/{link['id']}").status_code == 404
    assert other_api.get("/v1/connect-links").json()["data"] == []


@pytest.mark.parametrize("scope", ["credentials:read", "credentials:use", "oauth_apps:write"])
def test_complete_requires_write_scope(account, browser, make_link, alpha, scope):
    link = make_link()
    connect_by_link(browser, link, alpha)
    assert complete_link(ApiClient(make_token(account, scope)), link).status_code == 403


def test_result_page_without_return_to(browser, make_link, alpha):
    response = connect_by_link(browser, make_link(return_to=None), alpha)
    page = browser.open(response["Location"])
    assert page.status_code == 200
    assert b"Alpha is connected" in page.content
    assert "Refresh" not in page


def test_notes_list_scope_differences(api, browser, make_link, alpha):
    alpha.granted_scope = "read extra"
    link = make_link()
    connect_by_link(browser, link, alpha)
    assert fetch_link(api, link)["notes"] == [
        "Requested but not granted: write.",
        "Granted but not requested: extra.",
    ]


def test_link_can_request_fewer_scopes(browser, make_link):
    assert parse_query(press_continue(browser, make_link(scopes=["read"])))["scope"] == "read"


def test_app_setting_completes_links(api, app, browser, make_link, alpha):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    assert api.get(path).json()["completes_itself"] is False
    assert api.patch(path, {"completes_itself": True}).status_code == 200
    link = make_link()
    response = connect_by_link(browser, link, alpha)
    assert parse_query(response["Location"])["status"] == "completed"
    assert fetch_link(api, link)["credential_id"] == str(Credential.objects.get().id)


@pytest.mark.parametrize(
    ("fields", "field"),
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
def test_create_names_invalid_field(api, app, fields, field):
    body = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2", **fields}
    body = {name: value for name, value in body.items() if value is not None}
    response = api.post("/v1/connect-links", body)
    assert response.status_code == 422, response.content
    assert field in response.json()["validation_errors"]
    assert not ConnectLink.objects.exists()


def test_idempotent_create_returns_same_link(api, app):
    body = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2"}
    first, again = (
        api.post("/v1/connect-links", body, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert ConnectLink.objects.count() == 1


def test_short_callback_requires_single_issuer(api, account):
    app = make_app(account, "salesforce")
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    response = api.patch(path, {"short_callback": True})
    assert response.status_code == 422
    assert "short_callback" in response.json()["validation_errors"]
