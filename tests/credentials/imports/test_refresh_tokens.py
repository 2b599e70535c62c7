"""One refresh token is one credential: two that refresh with it would end each other's grant."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from django.db import connection

from accounts.rate_limits import ConcurrencyLimiter
from config.worker.loop import Worker
from credentials.core import refresh_tokens
from credentials.models import Credential, CredentialAlias, KnownRefreshToken, Revocation
from credentials.refresh import get_fresh_token
from credentials.refresh.tasks import RefreshTask
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.factories import TESTER, make_app, make_token
from tests.threads import run_concurrently

pytestmark = pytest.mark.django_db


def make_body(app: OAuthApp, token: str, user: str = "ann", **more: Any) -> dict[str, Any]:
    properties = {"kind": "fake_oauth2", "user_id": user, "refresh_token": token}
    properties |= more.pop("properties", {})
    return {"properties": properties, "oauth_app_id": str(app.id), **more}


def post(api: ApiClient, body: dict[str, Any]) -> tuple[str, str]:
    """Import a body. Return the result and the id."""
    response = api.post("/v1/credentials", body)
    assert response.status_code == 200, response.content
    return response["Latchkey-Import"], response.json()["id"]


def post_rejected(api: ApiClient, body: dict[str, Any]) -> dict[str, Any]:
    """Import a body that is rejected because of its token. Return the problem document."""
    response = api.post("/v1/credentials", body)
    assert response.status_code == 409, response.content
    problem: dict[str, Any] = response.json()
    assert problem["code"] == "refresh_token_in_use"
    assert problem["field"] == "properties.refresh_token"
    assert list(problem["validation_errors"]) == ["properties.refresh_token"]
    assert problem["id"] in problem["detail"]
    return problem


def post_lines(api: ApiClient, *bodies: dict[str, Any], query: str = "") -> dict[str, Any]:
    lines = b"\n".join(json.dumps(body).encode() for body in bodies)
    response = api.post(
        f"/v1/credentials/import{query}", lines, content_type="application/x-ndjson"
    )
    assert response.status_code == 200, response.content
    report: dict[str, Any] = response.json()
    return report


def refresh(id: str, times: int = 1) -> None:
    account_id = Credential.objects.get(id=id).account_id
    for _ in range(times):
        get_fresh_token(account_id=account_id, id=Credential(id=id).pk, actor=TESTER, force=True)


def count_recorded(id: str) -> int:
    return KnownRefreshToken.objects.filter(credential_id=id).count()


@pytest.fixture
def token(provider) -> str:
    return str(provider.grants.authorize("ann")["refresh_token"])


class TestNewExternalId:
    def test_takes_over_the_row(self, api, app, token):
        _, id = post(api, make_body(app, token))
        assert post(api, make_body(app, token, external_id="cus_1")) == ("updated", id)
        assert api.get(f"/v1/credentials/{id}").json()["external_id"] == "cus_1"
        event = Event.objects.filter(verb="credential.updated").get()
        assert event.changed == ["external_id"]

    def test_replaced_token_takes_over_too(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        refresh(id, times=3)
        assert post(api, make_body(app, token, external_id="cus_1")) == ("updated", id)
        refresh(id)
        assert provider.grants.reuses == []

    def test_former_identity_still_finds_the_row(self, api, app, token):
        _, id = post(api, make_body(app, token))
        post(api, make_body(app, token, external_id="cus_1"))
        assert post(api, make_body(app, token)) == ("unchanged", id)
        body = make_body(app, token, properties={"name": "Ann"}, metadata={"a": 1})
        assert post(api, body) == ("updated", id)
        assert post(api, make_body(app, token, external_id="cus_1")) == ("unchanged", id)
        assert Credential.objects.count() == 1

    def test_another_upstream_account_is_rejected(self, api, app, token):
        _, id = post(api, make_body(app, token))
        problem = post_rejected(api, make_body(app, token, user="bob", external_id="cus_1"))
        assert problem["id"] == id

    def test_item_without_the_external_id_joins(self, api, app, token):
        _, id = post(api, make_body(app, token, external_id="cus_1"))
        assert post(api, make_body(app, token)) == ("updated", id)
        assert post(api, make_body(app, token)) == ("unchanged", id)
        row = Credential.objects.get()
        assert row.external_id == "cus_1"
        assert CredentialAlias.objects.filter(credential=row).count() == 1

    def test_next_grant_of_the_external_id_replaces_the_tokens(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        post(api, make_body(app, token, external_id="cus_1"))
        new = provider.grants.authorize("ann")["refresh_token"]
        assert post(api, make_body(app, new, external_id="cus_1")) == ("updated", id)
        assert count_recorded(id) == 1


class TestRejected:
    def test_another_external_id(self, api, app, token):
        _, id = post(api, make_body(app, token, external_id="cus_1"))
        assert post_rejected(api, make_body(app, token, external_id="cus_2"))["id"] == id
        assert Credential.objects.count() == 1

    def test_another_app(self, api, app, token, account):
        _, id = post(api, make_body(app, token))
        assert post_rejected(api, make_body(make_app(account, "fake"), token))["id"] == id

    def test_another_upstream_account(self, api, app, token):
        _, id = post(api, make_body(app, token))
        assert post_rejected(api, make_body(app, token, user="bob"))["id"] == id

    def test_token_of_another_row_for_an_existing_row(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        other = provider.grants.authorize("bob")["refresh_token"]
        post(api, make_body(app, other, user="bob"))
        assert post_rejected(api, make_body(app, token, user="bob"))["id"] == id

    @pytest.mark.parametrize("times", [1, 4])
    def test_token_that_refreshes_have_replaced(self, api, app, token, provider, times):
        _, id = post(api, make_body(app, token, external_id="cus_1"))
        refresh(id, times=times)
        assert post_rejected(api, make_body(app, token, external_id="cus_2"))["id"] == id
        current = provider.grants.families["ann"].current
        assert current != token
        assert post_rejected(api, make_body(app, current, external_id="cus_2"))["id"] == id
        assert Credential.objects.count() == 1

    def test_app_before_a_change_of_app(self, api, app, token, account):
        from credentials.services import credential_change_app

        _, id = post(api, make_body(app, token))
        other = make_app(account, "fake")
        credential_change_app(
            account_id=account.id,
            id=Credential.objects.get().id,
            actor=TESTER,
            oauth_app_id=other.id,
        )
        assert post(api, make_body(app, token)) == ("unchanged", id)

    def test_rotation_to_the_token_of_another_row(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        other = provider.grants.authorize("bob")["refresh_token"]
        _, bob = post(api, make_body(app, other, user="bob"))
        body = {"properties": {"refresh_token": token}}
        response = api.post(f"/v1/credentials/{bob}/rotate", body)
        assert (response.status_code, response.json()["id"]) == (409, id)
        new = {"properties": {"refresh_token": "bobs-next"}}
        assert api.post(f"/v1/credentials/{bob}/rotate", new).status_code == 200
        for known in ("bobs-next", other):
            assert post_rejected(api, make_body(app, known, user="cid"))["id"] == bob


class TestAllowed:
    def test_after_a_delete(self, api, app, token):
        _, id = post(api, make_body(app, token))
        api.delete(f"/v1/credentials/{id}")
        assert not KnownRefreshToken.objects.exists()
        assert post(api, make_body(app, token, external_id="cus_1"))[0] == "created"

    def test_token_that_the_row_has_forgotten(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        new = provider.grants.authorize("ann")["refresh_token"]
        assert post(api, make_body(app, new)) == ("updated", id)
        assert post(api, make_body(app, token, user="bob"))[0] == "created"

    def test_same_token_in_another_account(self, api, app, token, other_api, other_account):
        post(api, make_body(app, token))
        other = make_app(other_account, "fake")
        assert post(other_api, make_body(other, token))[0] == "created"

    def test_provider_that_does_not_rotate(self, api, app, token, facts):
        facts(rotates=False)
        post(api, make_body(app, token, external_id="cus_1"))
        assert post(api, make_body(app, token, external_id="cus_2"))[0] == "created"
        assert not KnownRefreshToken.objects.exists()

    def test_provider_that_was_seen_to_keep_the_token(self, api, app, token, provider):
        """Its file does not say if it rotates; after a refresh, the row does."""
        provider.grants.rotation = "none"
        body = make_body(app, token, external_id="cus_1", properties={"access_token": "first"})
        _, id = post(api, body)
        post_rejected(api, make_body(app, token, external_id="cus_2"))
        refresh(id)
        _, other = post(api, make_body(app, token, external_id="cus_2"))
        # The token belongs to the first, so that the delete of the second does not revoke it.
        api.delete(f"/v1/credentials/{other}")
        assert Revocation.objects.get().sealed is None


class TestFiles:
    def test_file_with_a_new_external_id_joins_each_row(self, api, app, provider):
        tokens = [provider.grants.authorize(f"u{n}")["refresh_token"] for n in range(5)]
        bodies = [make_body(app, token, f"u{n}") for n, token in enumerate(tokens)]
        assert post_lines(api, *bodies)["created"] == 5
        named = [{**body, "external_id": f"cus_{n}"} for n, body in enumerate(bodies)]
        dry = post_lines(api, *named, query="?dry_run=true")
        assert (dry["updated"], dry["rejected"]) == (5, 0)
        assert not Credential.objects.exclude(external_id="").exists()
        assert post_lines(api, *named)["updated"] == 5
        assert post_lines(api, *named)["unchanged"] == 5
        assert post_lines(api, *bodies)["unchanged"] == 5
        assert Credential.objects.count() == 5

    def test_rejected_line_names_the_row_and_the_field(self, api, app, token):
        _, id = post(api, make_body(app, token, external_id="cus_1"))
        good = make_body(app, "another", user="bob")
        report = post_lines(api, good, make_body(app, token, external_id="cus_2"))
        assert (report["created"], report["rejected"]) == (1, 1)
        (error,) = report["errors"]
        assert (error["line"], error["field"]) == (2, "properties.refresh_token")
        assert id in error["reason"]

    def test_second_line_with_one_token_is_rejected(self, api, app, token):
        bodies = make_body(app, token), make_body(app, token, external_id="cus_1")
        report = post_lines(api, *bodies)
        assert (report["created"], report["rejected"]) == (1, 1)
        (error,) = report["errors"]
        assert (error["line"], error["field"]) == (2, "properties.refresh_token")
        assert "line 1" in error["reason"]

    def test_current_and_former_token_of_one_row(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        refresh(id)
        current = provider.grants.families["ann"].current
        report = post_lines(
            api,
            make_body(app, token, external_id="cus_1"),
            make_body(app, current, external_id="cus_2"),
        )
        assert (report["updated"], report["rejected"]) == (1, 1)
        assert Credential.objects.count() == 1


class TestRecords:
    def test_refreshes_record_what_the_row_remembers(self, api, app, token):
        _, id = post(api, make_body(app, token))
        for times in range(1, 9):
            refresh(id)
            history = set(Credential.objects.get().fingerprints["refresh_token"])
            assert count_recorded(id) == len(history) == min(times + 1, 6)
            assert (
                set(refresh_tokens.find_owners(Credential.objects.get().account_id, history))
                == history
            )

    def test_rows_of_older_code_are_recorded(self, api, app, token):
        _, id = post(api, make_body(app, token))
        refresh(id, times=2)
        KnownRefreshToken.objects.all().delete()
        count = refresh_tokens.record_existing(
            Credential.objects.all(), is_relevant="fake_oauth2".__eq__, batch_size=1
        )
        assert count == count_recorded(id) == 3
        refresh_tokens.record_existing(Credential.objects.all(), is_relevant="fake_oauth2".__eq__)
        assert count_recorded(id) == 3

    def test_refresh_of_a_row_of_older_code_records_both_tokens(self, api, app, token):
        _, id = post(api, make_body(app, token))
        KnownRefreshToken.objects.all().delete()
        refresh(id)
        assert count_recorded(id) == 2

    def test_refresh_to_a_token_of_another_row_is_stored(self, api, app, token, provider):
        _, id = post(api, make_body(app, token))
        post(api, make_body(app, "refresh-ann-3", user="bob"))
        refresh(id)
        assert provider.grants.families["ann"].current == "refresh-ann-3"
        assert api.get(f"/v1/credentials/{id}").json()["refresh"]["last_at"]


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    def test_one_of_many_concurrent_imports_gets_the_token(self, account, app, token):
        key = make_token(account)
        bodies = [make_body(app, token, external_id=f"cus_{n}") for n in range(8)]
        responses = run_concurrently(
            lambda n: ApiClient(key).post("/v1/credentials", bodies[n]), len(bodies)
        )
        assert Counter(each.status_code for each in responses) == {200: 1, 409: 7}
        assert Credential.objects.count() == KnownRefreshToken.objects.count() == 1

    def test_files_with_one_token_in_opposite_orders(self, account, app, provider, monkeypatch):
        # The limit of two would keep the others away from the locks that this is about.
        monkeypatch.setattr("credentials.api.import_view.running_imports", ConcurrencyLimiter(4))
        key = make_token(account)
        tokens = [f"token-{n}" for n in range(40)]

        def run(number: int) -> dict[str, Any]:
            bodies = [
                make_body(app, token, token, external_id=f"{number}-{token}")
                for token in (tokens if number % 2 else tokens[::-1])
            ]
            return post_lines(ApiClient(key), *bodies)

        reports = run_concurrently(run, 4)
        assert sum(report["created"] for report in reports) == 40
        assert sum(report["rejected"] for report in reports) == 120
        assert Credential.objects.count() == KnownRefreshToken.objects.count() == 40

    @pytest.mark.processes
    def test_two_processes_import_one_token(self, account, app, token, start):
        if connection.vendor != "postgresql":
            pytest.skip("processes are tested on PostgreSQL")
        started = [
            start(
                "importers",
                account=str(account.id),
                body=make_body(app, token, external_id=f"cus_{n}"),
                threads=5,
            )
            for n in range(2)
        ]
        for process in started:
            process.wait_ready()
        for process in started:
            process.release()
        results = Counter(result for process in started for result in process.result())
        assert results == {"created": 1, "unchanged": 4, "refresh_token_in_use": 5}
        assert Credential.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_second_import_of_a_file_with_external_ids_burns_no_grant(api, app, provider):
    """30 grants of a strict provider, refreshed by a worker, then the same file with a new column."""
    tokens = [provider.grants.authorize(f"u{n}")["refresh_token"] for n in range(30)]
    bodies = [make_body(app, token, f"u{n}") for n, token in enumerate(tokens)]
    post_lines(api, *bodies)
    run_worker()
    assert len(provider.calls) == 30
    named = [{**body, "external_id": f"cus_{n}"} for n, body in enumerate(bodies)]
    report = post_lines(api, *named)
    assert (report["created"], report["updated"], report["rejected"]) == (0, 30, 0)
    run_worker()
    assert provider.grants.reuses == []
    assert sum(not family.revoked for family in provider.grants.families.values()) == 30
    for row in Credential.objects.all():
        refresh(str(row.id))
    assert provider.grants.reuses == []
    assert len(provider.calls) == 60


def run_worker() -> None:
    """Run a worker until no refresh is due."""
    assert Worker([RefreshTask()], concurrency=4).run(once=True) == 0
