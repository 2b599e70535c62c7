"""A connect link that reconnects a credential, which must be of the same upstream account."""

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
        document: dict[str, Any] = api.get(f"/v1/credentials/{id}").json()
        return document

    def test_same_account_gets_new_grant(self, api, browser, make_link, alpha, credential):
        link = make_link(credential_id=credential["id"])
        assert connect_by_link(browser, link, alpha).status_code == 303
        assert complete_link(api, link).json()["credential_id"] == credential["id"]
        row = Credential.objects.get()
        assert row.revision == 2

    def test_page_asks_for_same_account(self, browser, make_link, credential):
        page = browser.follow_redirects(make_link(credential_id=credential["id"])["url"])
        assert b"same account as before" in page.content

    def test_different_account_is_rejected_and_revoked(
        self, api, browser, make_link, alpha, credential
    ):
        link = make_link(credential_id=credential["id"])
        alpha.user = "eve"
        response = connect_by_link(browser, link, alpha)
        assert response.status_code == 400
        assert b"different account" in response.content
        assert not PendingGrant.objects.exists()
        assert Revocation.objects.get().properties["workspace"] == "ws-eve"
        assert fetch_link(api, link)["failure"]["code"] == "account_mismatch"
        assert fetch_link(api, link)["status"] == "opened"
        alpha.user = "ann"
        assert connect_by_link(browser, link, alpha).status_code == 303

    def test_rejected_grant_of_connected_account_is_not_revoked(
        self, api, browser, make_link, alpha, credential
    ):
        alpha.user = "eve"
        other = make_link()
        connect_by_link(browser, other, alpha)
        complete_link(api, other)
        link = make_link(credential_id=credential["id"])
        assert connect_by_link(browser, link, alpha).status_code == 400
        assert not Revocation.objects.exists()

    def test_external_id_does_not_allow_different_account(self, api, browser, make_link, alpha):
        first = make_link(external_id="customer-1")
        connect_by_link(browser, first, alpha)
        id = complete_link(api, first).json()["credential_id"]
        alpha.user = "eve"
        assert connect_by_link(browser, make_link(credential_id=id), alpha).status_code == 400
        assert list_failure_codes() == ["account_mismatch"]

    def test_deleted_credential_is_not_created_again(
        self, api, browser, make_link, alpha, credential
    ):
        link = make_link(credential_id=credential["id"])
        connect_by_link(browser, link, alpha)
        api.delete(f"/v1/credentials/{credential['id']}")
        assert complete_link(api, link).status_code == 409
        assert not Credential.objects.exists()

    def test_app_and_kind_come_from_credential(self, api, account, credential):
        response = api.post("/v1/connect-links", {"credential_id": credential["id"]})
        assert response.status_code == 201
        assert response.json()["kind"] == "alpha_oauth2"
        other = make_app(account, "alpha", redirect_uris=[RETURN])
        body = {"credential_id": credential["id"], "oauth_app_id": str(other.id)}
        response = api.post("/v1/connect-links", body)
        assert "oauth_app_id" in response.json()["validation_errors"]

    def test_credential_of_another_account_is_not_found(self, other_api, credential):
        response = other_api.post("/v1/connect-links", {"credential_id": credential["id"]})
        assert response.status_code == 422
