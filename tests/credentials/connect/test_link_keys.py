"""A connect link on whose page a key is typed."""

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
        sent = {"kind": "alpha_key", "return_to": KEY_RETURN, "external_id": "customer-1"}
        answer = api.post("/v1/connect-links", sent)
        assert answer.status_code == 201, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def test_the_page_is_a_form_by_the_kinds_schema(self, browser, link):
        text = browser.follow_redirects(link["url"]).content.decode()
        assert '<input type="password" name="key"' in text
        assert '<select name="region"' in text
        assert 'type="checkbox" name="test"' in text
        assert text.count("<label") == 3
        assert "An account" not in text

    def test_what_was_typed_waits_for_the_company(self, api, browser, link):
        browser.follow_redirects(link["url"])
        answer = browser.post(link["url"], {"key": "k-secret-1", "region": "eu", "test": "on"})
        assert answer.status_code == 303
        page = browser.open(answer["Location"])
        back = f"{KEY_RETURN}?connect_link={link['id']}&status=pending"
        assert page["Refresh"] == f"0; url={back}"
        assert not Credential.objects.exists()
        id = complete_link(api, link).json()["credential_id"]
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
        browser.follow_redirects(link["url"])
        answer = browser.post(link["url"], fields)
        assert answer.status_code == 422
        assert_is_page(answer)
        text = answer.content.decode()
        assert "Please check your entries" in text
        assert "k-secret-1" not in text
        assert 'aria-invalid="true"' in text
        assert not PendingGrant.objects.exists()

    def test_a_form_is_for_the_browser_that_opened_it(self, browser, link):
        browser.follow_redirects(link["url"])
        other = Browser()
        other.follow_redirects(link["url"])
        assert other.post(link["url"], {"key": "k"}).status_code == 403
        assert not PendingGrant.objects.exists()

    def test_a_form_is_sent_once(self, browser, link):
        browser.follow_redirects(link["url"])
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
        browser.follow_redirects(link["url"])
        browser.post(link["url"], {"key": "k-1"})
        assert Credential.objects.count() == 1

    def test_a_key_is_reconnected_by_the_companys_own_id(self, api, browser, link):
        browser.follow_redirects(link["url"])
        browser.post(link["url"], {"key": "k-1"})
        id = complete_link(api, link).json()["credential_id"]
        again = api.post("/v1/connect-links", {"credential_id": id}).json()
        browser.follow_redirects(again["url"])
        browser.post(again["url"], {"key": "k-2"})
        assert complete_link(api, again).json()["credential_id"] == id
        assert Credential.objects.count() == 1

    def test_a_key_that_nothing_else_identifies_is_not_reconnected(self, api, app, browser):
        link = api.post("/v1/connect-links", {"kind": "stripe_key"}).json()
        browser.follow_redirects(link["url"])
        browser.post(link["url"], {"secret": "sk_test_1"})
        id = complete_link(api, link).json()["credential_id"]
        answer = api.post("/v1/connect-links", {"credential_id": id})
        assert answer.status_code == 422
        assert "credential_id" in answer.json()["validation_errors"]
