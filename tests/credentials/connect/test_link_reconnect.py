"""A connect link for a credential that is there: the same upstream account, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.connect.models import PendingGrant
from credentials.models import Credential, Revocation
from tests.credentials.connect.flows import (
    RETURN,
    complete_link,
    connect_by_link,
    fetch_link,
    list_failure_codes,
)
from tests.factories import make_app


class TestReconnect:
    @pytest.fixture
    def credential(self, api, browser, make_link, alpha) -> dict[str, Any]:
        link = make_link()
        connect_by_link(browser, link, alpha)
        id = complete_link(api, link).json()["credential_id"]
        found: dict[str, Any] = api.get(f"/v1/credentials/{id}").json()
        return found

    def test_the_same_account_gets_a_new_grant(self, api, browser, make_link, alpha, credential):
        link = make_link(credential_id=credential["id"])
        assert connect_by_link(browser, link, alpha).status_code == 303
        assert complete_link(api, link).json()["credential_id"] == credential["id"]
        row = Credential.objects.get()
        assert row.revision == 2

    def test_the_page_says_so(self, browser, make_link, credential):
        page = browser.follow_redirects(make_link(credential_id=credential["id"])["url"])
        assert b"same account as before" in page.content

    def test_another_account_is_refused_and_given_back(
        self, api, browser, make_link, alpha, credential
    ):
        link = make_link(credential_id=credential["id"])
        alpha.user = "eve"
        answer = connect_by_link(browser, link, alpha)
        assert answer.status_code == 400
        assert b"different account" in answer.content
        assert not PendingGrant.objects.exists()
        assert Revocation.objects.get().properties["workspace"] == "ws-eve"
        assert fetch_link(api, link)["failure"]["code"] == "account_mismatch"
        assert fetch_link(api, link)["status"] == "opened"
        alpha.user = "ann"
        assert connect_by_link(browser, link, alpha).status_code == 303

    def test_an_account_that_is_connected_elsewhere_keeps_its_grant(
        self, api, browser, make_link, alpha, credential
    ):
        alpha.user = "eve"
        other = make_link()
        connect_by_link(browser, other, alpha)
        complete_link(api, other)
        link = make_link(credential_id=credential["id"])
        assert connect_by_link(browser, link, alpha).status_code == 400
        assert not Revocation.objects.exists()

    def test_the_companys_own_id_does_not_make_another_account_the_same(
        self, api, browser, make_link, alpha
    ):
        first = make_link(external_id="customer-1")
        connect_by_link(browser, first, alpha)
        id = complete_link(api, first).json()["credential_id"]
        alpha.user = "eve"
        assert connect_by_link(browser, make_link(credential_id=id), alpha).status_code == 400
        assert list_failure_codes() == ["account_mismatch"]

    def test_a_credential_that_is_gone_is_not_made_anew(
        self, api, browser, make_link, alpha, credential
    ):
        link = make_link(credential_id=credential["id"])
        connect_by_link(browser, link, alpha)
        api.delete(f"/v1/credentials/{credential['id']}")
        assert complete_link(api, link).status_code == 409
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
