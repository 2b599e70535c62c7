"""A person cannot connect another person's account by a form or a changed callback."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from credentials.connect.models import PendingGrant
from credentials.models import Credential, Revocation
from tests.api import ApiClient
from tests.credentials.connect.flows import (
    Browser,
    assert_is_page,
    complete_link,
    exchange_code_at_api,
    fetch_link,
    get_failure_code,
    list_failure_codes,
    parse_query,
    press_continue,
    start_flow,
)
from tests.credentials.connect.test_expiry import run_expire_task
from tests.threads import run_concurrently, wait_for_lock_wait
from vault.sealing import Place, unseal

SID = "AC" + "0" * 31 + "1"


def enter_token(api: ApiClient, token: str, **more: Any) -> dict[str, Any]:
    """Create a link and enter the account and `token` in its form."""
    link: dict[str, Any] = api.post("/v1/connect-links", {"kind": "twilio_password", **more}).json()
    browser = Browser()
    browser.follow_redirects(link["url"])
    response = browser.post(link["url"], {"account_sid": SID, "auth_token": token})
    assert response.status_code == 303, response.content
    return link


def get_stored_token() -> str:
    row = Credential.objects.get()
    assert row.secrets is not None
    return str(unseal(Place.of(row, "secrets"), row.secrets)["auth_token"])


@pytest.fixture
def credential(api) -> dict[str, Any]:
    properties = {"kind": "twilio_password", "account_sid": SID, "auth_token": "b" * 32}
    body = {"name": "Bob", "owner_email": "bob@b.example", "metadata": {"customer": 1}}
    response = api.post("/v1/credentials", {**body, "properties": properties})
    assert response.status_code == 200, response.content
    credential: dict[str, Any] = response.json()
    return credential


class TestEnteredInForm:
    def test_entered_secret_does_not_replace_another(self, api, credential):
        link = enter_token(
            api, "e" * 32, name="Eve", owner_email="eve@e.example", metadata={"n": 2}
        )
        response = complete_link(api, link)
        assert response.status_code == 409
        assert response.json()["credential_id"] == credential["id"]
        assert "credential_id" in response.json()["detail"]
        assert api.get(f"/v1/credentials/{credential['id']}").json() == credential
        assert get_stored_token() == "b" * 32
        assert fetch_link(api, link)["status"] == "pending"
        assert complete_link(api, link).status_code == 409

    def test_same_secret_updates_credential(self, api, credential):
        link = enter_token(api, "b" * 32, name="Robert")
        assert complete_link(api, link).json()["credential_id"] == credential["id"]
        assert api.get(f"/v1/credentials/{credential['id']}").json()["name"] == "Robert"

    def test_credential_id_allows_replacing_secret(self, api, credential):
        link = enter_token(api, "n" * 32, credential_id=credential["id"])
        assert complete_link(api, link).json()["credential_id"] == credential["id"]
        assert get_stored_token() == "n" * 32

    def test_external_id_allows_replacing_secret(self, api):
        for token in ("a" * 32, "n" * 32):
            assert (
                complete_link(api, enter_token(api, token, external_id="customer-1")).status_code
                == 200
            )
        assert get_stored_token() == "n" * 32

    def test_pending_grant_expires(self, api, credential, settings):
        link = enter_token(api, "e" * 32)
        complete_link(api, link)
        settings.CLOCK_SHIFT_SECONDS = 601
        run_expire_task()
        assert fetch_link(api, link)["status"] == "expired"
        assert not PendingGrant.objects.exists()
        assert get_stored_token() == "b" * 32

    def test_pending_grant_can_be_withdrawn(self, api, credential):
        link = enter_token(api, "e" * 32)
        complete_link(api, link)
        assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204
        assert not PendingGrant.objects.exists()

    def test_link_completes_after_credential_is_deleted(self, api, credential):
        link = enter_token(api, "e" * 32)
        complete_link(api, link)
        api.delete(f"/v1/credentials/{credential['id']}")
        assert complete_link(api, link).status_code == 200

    def test_link_that_completes_itself_does_not_replace_secret(self, api, credential):
        api.patch("/v1/connect-settings", {"completes_itself": True})
        link = enter_token(api, "e" * 32, name="Eve")
        assert api.get(f"/v1/credentials/{credential['id']}").json() == credential
        document = fetch_link(api, link)
        assert document["status"] == "pending"
        assert document["failure"]["code"] == "other_secrets"
        assert list_failure_codes() == ["other_secrets"]
        assert complete_link(api, link).status_code == 409
        api.delete(f"/v1/credentials/{credential['id']}")
        assert complete_link(api, link).json()["failure"] is None

    def test_page_does_not_reveal_existing_credential(self, api, credential):
        api.patch("/v1/connect-settings", {"completes_itself": True})
        link = api.post("/v1/connect-links", {"kind": "twilio_password"}).json()
        browser = Browser()
        browser.follow_redirects(link["url"])
        response = browser.post(link["url"], {"account_sid": SID, "auth_token": "e" * 32})
        page = browser.open(response["Location"]).content.decode()
        assert "ten minutes to confirm" in page
        assert credential["id"] not in page

    @pytest.mark.django_db(transaction=True)
    def test_concurrent_links_for_one_account_complete_once(self, api):
        links = [enter_token(api, f"{number}" * 32) for number in range(8)]
        statuses = run_concurrently(lambda number: complete_link(api, links[number]).status_code, 8)
        assert sorted(statuses) == [200] + [409] * 7
        first = statuses.index(200)
        assert get_stored_token() == f"{first}" * 32

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")
    def test_complete_does_not_replace_concurrent_import(self, api):
        """Commit the import after `complete` has looked for the row, and before it writes."""
        link = enter_token(api, "e" * 32)
        properties = {"kind": "twilio_password", "account_sid": SID, "auth_token": "b" * 32}
        statuses: list[int] = []

        def complete_in_thread() -> None:
            try:
                statuses.append(complete_link(api, link).status_code)
            finally:
                connection.close()

        other = threading.Thread(target=complete_in_thread)
        with transaction.atomic():
            assert api.post("/v1/credentials", {"properties": properties}).status_code == 200
            other.start()
            wait_for_lock_wait()
        other.join()
        assert statuses == [409]
        assert get_stored_token() == "b" * 32


class TestAccountInCallback:
    KIND = "alpha_named_oauth2"

    def return_from_provider(self, browser: Browser, app: Any, alpha: Any, **more: Any) -> Any:
        return browser.open(alpha.approve(start_flow(browser, app, kind=self.KIND), **more))

    def test_account_confirmed_by_provider_is_connected(self, browser, app, alpha):
        response = self.return_from_provider(browser, app, alpha, companyId="co-ann")
        assert response.status_code == 303, response.content
        body = exchange_code_at_api(app, parse_query(response["Location"])["code"]).json()
        assert body["credential"]["properties"]["company"] == "co-ann"
        assert alpha.company_calls == ["co-ann"]

    def test_unconfirmed_account_is_rejected_and_revoked(self, browser, app, alpha):
        alpha.user = "eve"
        response = self.return_from_provider(browser, app, alpha, companyId="co-ann")
        assert response.status_code == 400
        assert_is_page(response)
        assert b"does not confirm that this is your account" in response.content
        assert get_failure_code() == "account_unverified"
        assert not PendingGrant.objects.exists()
        revocation = Revocation.objects.get()
        assert revocation.sealed is not None
        assert unseal(Place.of(revocation, "sealed"), revocation.sealed)[
            "refresh_token"
        ].startswith("refresh-eve")

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (401, "account_unverified"),
            (403, "account_unverified"),
            (404, "account_unverified"),
            (400, "provider_refused"),
            (429, "provider_unavailable"),
            (500, "provider_unavailable"),
        ],
    )
    def test_only_successful_call_confirms_account(self, browser, app, alpha, status, code):
        alpha.company_status = status
        self.return_from_provider(browser, app, alpha, companyId="co-ann")
        assert get_failure_code() == code
        assert not PendingGrant.objects.exists()
        assert Revocation.objects.count() == 1

    @pytest.mark.parametrize(
        "company_id", [None, "co-ann/../co-eve", "CO-ANN", "co%2Dann", "x" * 21]
    )
    def test_malformed_account_id_is_not_requested(self, browser, app, alpha, company_id):
        more = {} if company_id is None else {"companyId": company_id}
        assert self.return_from_provider(browser, app, alpha, **more).status_code == 400
        assert get_failure_code() == "answer_incomplete"
        assert alpha.company_calls == []
        assert Revocation.objects.count() == 1

    def test_unconfirmed_account_fails_link(self, api, browser, make_link, alpha):
        link = make_link(kind=self.KIND)
        address = press_continue(browser, link)
        assert browser.open(alpha.approve(address, companyId="co-bob")).status_code == 400
        assert fetch_link(api, link)["failure"]["code"] == "account_unverified"
        assert complete_link(api, link).status_code == 409
