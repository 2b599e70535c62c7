"""A connect link with a form for a key."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.connect.models import PendingGrant
from credentials.models import Credential
from tests.credentials.connect.flows import RETURN, Browser, assert_is_page, complete_link

KEY_RETURN = "https://acme.example/keys"


class TestKeys:
    @pytest.fixture
    def link(self, api, app) -> dict[str, Any]:
        api.patch("/v1/connect-settings", {"return_urls": [KEY_RETURN]})
        body = {"kind": "alpha_key", "return_to": KEY_RETURN, "external_id": "customer-1"}
        response = api.post("/v1/connect-links", body)
        assert response.status_code == 201, response.content
        document: dict[str, Any] = response.json()
        return document

    def test_page_shows_form_for_kind(self, browser, link):
        text = browser.follow_redirects(link["url"]).content.decode()
        assert '<input type="password" name="key"' in text
        assert '<select name="region"' in text
        assert 'type="checkbox" name="test"' in text
        assert text.count("<label") == 3
        assert "An account" not in text

    def test_entered_key_is_pending_until_completed(self, api, browser, link):
        browser.follow_redirects(link["url"])
        response = browser.post(link["url"], {"key": "k-secret-1", "region": "eu", "test": "on"})
        assert response.status_code == 303
        page = browser.open(response["Location"])
        back = f"{KEY_RETURN}?connect_link={link['id']}&status=pending"
        assert page["Refresh"] == f"0; url={back}"
        assert not Credential.objects.exists()
        id = complete_link(api, link).json()["credential_id"]
        credential = api.get(f"/v1/credentials/{id}").json()
        assert credential["properties"] == {
            "kind": "alpha_key", "key": "**********", "region": "eu", "test": True,
        }  # fmt: skip
        assert credential["external_id"] == "customer-1"

    @pytest.mark.parametrize(
        "fields",
        [{}, {"key": ""}, {"key": "k-secret-1", "region": "moon"}, {"key": "k-secret-1" * 2000}],
        ids=["nothing", "empty", "wrong region", "too long"],
    )
    def test_invalid_form_is_rendered_without_secret(self, browser, link, fields):
        browser.follow_redirects(link["url"])
        response = browser.post(link["url"], fields)
        assert response.status_code == 422
        assert_is_page(response)
        text = response.content.decode()
        assert "Please check your entries" in text
        assert "k-secret-1" not in text
        assert 'aria-invalid="true"' in text
        assert not PendingGrant.objects.exists()

    def test_form_rejects_another_browser(self, browser, link):
        browser.open(link["url"])
        other = Browser()
        other.open(link["url"])
        assert browser.post(link["url"], {"key": ""}).status_code == 422
        assert other.post(link["url"], {"key": "k"}).status_code == 403
        assert not PendingGrant.objects.exists()

    def test_form_is_stored_once(self, browser, link):
        browser.follow_redirects(link["url"])
        assert browser.post(link["url"], {"key": "k-1"}).status_code == 303
        browser.post(link["url"], {"key": "k-2"})
        assert PendingGrant.objects.count() == 1

    def test_return_to_must_be_in_account_settings(self, api, app):
        for uri in ("javascript:alert(1)", "http://acme.example", "https://u@acme.example", "/x"):
            assert api.patch("/v1/connect-settings", {"return_urls": [uri]}).status_code == 422
        body = {"kind": "alpha_key", "return_to": RETURN}
        assert api.post("/v1/connect-links", body).status_code == 422

    def test_account_setting_completes_links(self, api, browser, link):
        api.patch("/v1/connect-settings", {"completes_itself": True})
        browser.follow_redirects(link["url"])
        browser.post(link["url"], {"key": "k-1"})
        assert Credential.objects.count() == 1

    def test_key_with_external_id_can_be_reconnected(self, api, browser, link):
        browser.follow_redirects(link["url"])
        browser.post(link["url"], {"key": "k-1"})
        id = complete_link(api, link).json()["credential_id"]
        again = api.post("/v1/connect-links", {"credential_id": id}).json()
        browser.follow_redirects(again["url"])
        browser.post(again["url"], {"key": "k-2"})
        assert complete_link(api, again).json()["credential_id"] == id
        assert Credential.objects.count() == 1

    def test_key_without_identity_cannot_be_reconnected(self, api, app, browser):
        link = api.post("/v1/connect-links", {"kind": "stripe_key"}).json()
        browser.follow_redirects(link["url"])
        browser.post(link["url"], {"secret": "sk_test_1"})
        id = complete_link(api, link).json()["credential_id"]
        response = api.post("/v1/connect-links", {"credential_id": id})
        assert response.status_code == 422
        assert "credential_id" in response.json()["validation_errors"]
