"""What a refresh response says in addition to the tokens is stored as a connection stores it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from credentials.imports.validation import build_identity_parts
from credentials.models import Credential, CredentialAlias
from events.models import Event
from providers.registry import get_registry
from tests.api import ApiClient
from tests.credentials.upstream import Upstream, upstreams
from tests.factories import make_app, make_credential
from vault.services import compute_identity
from webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

OLD, NEW = "https://arrakis.my.salesforce.com", "https://arrakis2.my.salesforce.com"


@pytest.fixture
def salesforce(authority, monkeypatch) -> Iterator[Upstream]:
    with upstreams(authority, monkeypatch, "login.salesforce.com") as servers:
        yield servers["login.salesforce.com"]


@pytest.fixture
def row(account, salesforce) -> Credential:
    body = {
        "properties": {"kind": "salesforce_oauth2", "instance_url": OLD, "refresh_token": "r-1"},
        "oauth_app_id": str(make_app(account, "salesforce").id),
    }
    return make_credential(account, body)


@pytest.fixture
def gitlab_grant(account, gitlab) -> Credential:
    body = {
        "properties": {
            "kind": "gitlab_oauth2", "user_id": 7, "refresh_token": "r-1", "scope": "api read_user",
        },
        "oauth_app_id": str(make_app(account, "gitlab").id),
    }  # fmt: skip
    return make_credential(account, body)


def refresh(api: ApiClient, row: Credential) -> Any:
    assert api.post(f"/v1/credentials/{row.id}/refresh").status_code == 200
    return api.get(f"/v1/credentials/{row.id}").json()


class TestAddress:
    def test_new_address_is_stored_with_an_event(self, api, row, salesforce):
        salesforce.say(200, access_token="a-2", instance_url=NEW, token_type="Bearer")
        before = api.get(f"/v1/credentials/{row.id}")
        after = refresh(api, row)
        assert after["properties"]["instance_url"] == NEW
        (event,) = Event.objects.filter(verb="credential.updated")
        assert event.changed == ["properties.instance_url"]
        assert api.get(f"/v1/credentials/{row.id}")["ETag"] == before["ETag"]

    def test_same_address_is_no_event(self, api, row, salesforce):
        salesforce.say(200, access_token="a-2", instance_url=OLD, token_type="Bearer")
        refresh(api, row)
        assert not Event.objects.filter(verb="credential.updated").exists()

    @pytest.mark.parametrize(
        "address",
        [
            "https://evil.example",
            "https://salesforce.com.evil.example",
            "http://arrakis2.my.salesforce.com",
            "https://arrakis.my.salesforce.com@evil.example",
            "https://evil.example/.salesforce.com",
            "https://127.0.0.1",
            "file:///etc/passwd",
            "https://salesforce.com\\@evil.example",
            ["https://evil.example"],
            {"url": NEW},
            7,
        ],
    )
    def test_foreign_address_is_ignored_and_the_tokens_are_kept(
        self, api, row, salesforce, address
    ):
        salesforce.say(200, access_token="a-2", instance_url=address, token_type="Bearer")
        assert refresh(api, row)["properties"]["instance_url"] == OLD
        response = api.post(f"/v1/credentials/{row.id}/token")
        assert response.json()["access_token"] == "a-2"

    def test_imports_find_the_row_under_both_addresses(self, api, row, salesforce, account):
        salesforce.say(200, access_token="a-2", instance_url=NEW, token_type="Bearer")
        refresh(api, row)
        for address in (OLD, NEW):
            body = {
                "properties": {
                    "kind": "salesforce_oauth2", "instance_url": address, "refresh_token": "r-1",
                },
                "oauth_app_id": str(row.oauth_app_id),
            }  # fmt: skip
            assert api.post("/v1/credentials", body).json()["id"] == str(row.id)
        assert Credential.objects.count() == 1

    def test_alias_is_what_an_import_computes(self, api, row, salesforce):
        salesforce.say(200, access_token="a-2", instance_url=NEW, token_type="Bearer")
        refresh(api, row)
        row = Credential.objects.get(id=row.id)
        kind = get_registry().kinds[row.kind]
        parts = build_identity_parts(kind, row.properties, {}, row.oauth_app_id, None)
        (alias,) = CredentialAlias.objects.all()
        assert bytes(alias.identity) == compute_identity(row.account_id, parts)


class TestScopes:
    def say(self, gitlab: Upstream, scope: object) -> None:
        gitlab.say(200, path="/oauth/token", access_token="a-2", token_type="bearer", scope=scope)

    def test_narrowed_scope_is_a_warning_that_names_it(self, api, gitlab, gitlab_grant):
        self.say(gitlab, "read_user")
        document = refresh(api, gitlab_grant)
        assert document["properties"]["scope"] == "read_user"
        assert document["health"]["status"] == "warn"
        assert "no longer grants: api." in document["health"]["notes"][0]
        (event,) = Event.objects.filter(verb="credential.updated")
        assert event.changed == ["properties.scope"]

    def test_warning_stays_until_the_scope_is_granted_again(self, api, gitlab, gitlab_grant):
        self.say(gitlab, "read_user")
        refresh(api, gitlab_grant)
        assert refresh(api, gitlab_grant)["health"]["status"] == "warn"
        gitlab.say(200, path="/api/v4/user")
        assert api.post(f"/v1/credentials/{gitlab_grant.id}/check").json()["health"]["status"] == (
            "warn"
        )
        self.say(gitlab, "read_user api")
        health = refresh(api, gitlab_grant)["health"]
        assert health["status"] == "ok"
        assert health["notes"] == ["It works again."]

    def test_another_grant_ends_the_warning(self, api, gitlab, gitlab_grant):
        self.say(gitlab, "read_user")
        refresh(api, gitlab_grant)
        body = {
            "properties": {
                "kind": "gitlab_oauth2", "user_id": 7, "refresh_token": "r-9", "scope": "read_user",
            },
            "oauth_app_id": str(gitlab_grant.oauth_app_id),
        }  # fmt: skip
        assert api.post("/v1/credentials", body).json()["health"]["status"] == "unknown"
        assert refresh(api, gitlab_grant)["health"]["status"] == "ok"

    @pytest.mark.parametrize(
        "scope",
        [
            "read_user api",
            "api,read_user",
            ["api", "read_user"],
            "api",  # Required scopes are granted without being listed.
            "api read_user extra",
            "https://gitlab.com/auth/api",  # The same in another form, or another scope.
            None,
            "",
            7,
        ],
    )
    def test_other_differences_are_no_warning(self, api, gitlab, gitlab_grant, scope):
        self.say(gitlab, scope)
        assert refresh(api, gitlab_grant)["health"]["status"] == "ok"

    def test_order_of_scopes_is_no_change(self, api, gitlab, gitlab_grant):
        self.say(gitlab, "read_user api")
        assert refresh(api, gitlab_grant)["properties"]["scope"] == "api read_user"
        assert not Event.objects.filter(verb="credential.updated").exists()

    def test_scope_of_an_import_without_one_is_stored(self, api, gitlab, account):
        body = {
            "properties": {"kind": "gitlab_oauth2", "user_id": 8, "refresh_token": "r-1"},
            "oauth_app_id": str(make_app(account, "gitlab").id),
        }
        row = make_credential(account, body)
        self.say(gitlab, "api")
        document = refresh(api, row)
        assert (document["properties"]["scope"], document["health"]["status"]) == ("api", "ok")


def test_ids_of_the_account_never_change(api, account, authority, monkeypatch):
    body = {
        "properties": {
            "kind": "notion_oauth2", "bot_id": "b-1", "refresh_token": "r-1", "access_token": "a-1",
            "workspace_id": "w-1", "workspace_name": "Old",
        },
        "oauth_app_id": str(make_app(account, "notion").id),
    }  # fmt: skip
    row = make_credential(account, body)
    with upstreams(authority, monkeypatch, "api.notion.com") as servers:
        notion = servers["api.notion.com"]
        notion.say(200, access_token="a-2", bot_id="b-2", workspace_name="New")
        after = refresh(api, row)["properties"]
    assert (after["bot_id"], after["workspace_name"]) == ("b-1", "New")
    assert json.dumps(after).count("a-2") == 0
    assert not WebhookDelivery.objects.exists()
