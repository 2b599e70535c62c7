"""/v1/oauth-apps."""

from __future__ import annotations

import pytest

from events.models import Event
from oauth_apps.models import OAuthApp, OAuthAppSecret
from tests.api import ApiClient
from tests.factories import make_app, make_credential, make_linear_body, make_token
from vault.sealing import Place, unseal

BODY = {
    "provider": "stripe",
    "name": "Arakkis - Stripe",
    "client_id": "b9f074c939140210e8c231845bbe8b98",
    "client_secret": "canary-secret",
}


@pytest.fixture
def app(account) -> OAuthApp:
    return make_app(account, "salesforce", client_secret="first")


@pytest.fixture
def path(app) -> str:
    return f"/v1/oauth-apps/{app.id}"


def secrets(app: OAuthApp) -> list[str]:
    newest_first = app.secrets.order_by("-created_at", "-id")
    return [unseal(Place.of(s, "sealed"), s.sealed) for s in newest_first]


def test_create_responds_with_the_app_and_its_secret_masked(api):
    answer = api.post("/v1/oauth-apps", BODY)
    assert answer.status_code == 200
    shown = answer.json()
    assert {name: shown[name] for name in BODY} == {**BODY, "client_secret": "**********"}
    assert (shown["redirect_uris"], shown["scopes"], shown["config"]) == ([], [], {})
    assert shown["metadata"] == {}
    assert shown["health"]["status"] == "unknown"
    assert b"canary" not in answer.content


def test_the_same_client_again_is_409_with_its_id(api):
    id = api.post("/v1/oauth-apps", BODY).json()["id"]
    answer = api.post("/v1/oauth-apps", {**BODY, "name": "Other"})
    assert (answer.status_code, answer.json()["id"]) == (409, id)


def test_the_same_client_of_another_account_is_another_app(api, other_api):
    assert api.post("/v1/oauth-apps", BODY).status_code == 200
    assert other_api.post("/v1/oauth-apps", BODY).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "nosuch"),
        ("provider", 1),
        ("name", " "),
        ("client_id", ""),
        ("client_secret", ""),
        ("client_secret", "**********"),
        ("redirect_uris", "https://a.example"),
        ("redirect_uris", ["http://a.example/cb"]),
        ("redirect_uris", ["https://a.example/#x"]),
        ("redirect_uris", ["https://u@a.example/"]),
        ("redirect_uris", ["javascript:alert(1)"]),
        ("redirect_uris", ["https://a.example", "https://a.example"]),
        ("scopes", [1]),
        ("config", {"nope": "x"}),
        ("metadata", None),
        ("id", "x"),
    ],
)
def test_a_wrong_field_is_422_naming_it(api, field, value):
    answer = api.post("/v1/oauth-apps", {**BODY, field: value})
    assert answer.status_code == 422
    assert any(name.startswith(field) for name in answer.json()["validation_errors"])
    assert not OAuthApp.objects.exists()


def test_lists_newest_first_with_filters(api, account):
    make_app(account, "linear", name="l", metadata={"region": "eu"})
    make_app(account, "stripe", name="s")

    def listed(query: str = "") -> list[str]:
        return [row["name"] for row in api.get(f"/v1/oauth-apps{query}").json()["data"]]

    assert listed() == ["s", "l"]
    assert listed("?provider=linear") == ["l"]
    assert listed('?metadata={"region":"eu"}') == ["l"]
    assert listed("?health.status=ok") == []


def test_new_secret_keeps_the_former_one(api, app, path):
    api.patch(path, {"client_secret": "second"})
    assert secrets(app) == ["second", "first"]


def test_dropping_the_old_secret_leaves_the_new_one(api, app, path):
    api.patch(path, {"client_secret": "second"})
    api.patch(path, {"drop_old_secret": True})
    assert secrets(app) == ["second"]


def test_never_more_than_two_secrets_live(api, app, path):
    for secret in ("second", "third"):
        api.patch(path, {"client_secret": secret})
    assert secrets(app) == ["third", "second"]


def test_the_same_secret_again_changes_nothing(api, app, path):
    before = api.get(path)
    answer = api.patch(path, {"client_secret": "first", "drop_old_secret": True})
    assert answer.json() == before.json()
    assert secrets(app) == ["first"]


def test_new_secret_decrypts_nothing(api, app, path, monkeypatch):
    def closed(*_: object) -> None:
        raise AssertionError("a seal was opened")

    monkeypatch.setattr("oauth_apps.services.unseal", closed)
    assert api.patch(path, {"client_secret": "second"}).status_code == 200


@pytest.mark.parametrize("field", ["provider", "client_id", "id", "health"])
def test_immutable_fields_are_422(api, path, field):
    assert api.patch(path, {field: "x"}).status_code == 422


def test_config_accepts_dns_labels_only(api, account):
    app = make_app(account, "shopify")
    path = f"/v1/oauth-apps/{app.id}"
    assert api.patch(path, {"config": {"shop": "Arrakis"}}).json()["config"] == {"shop": "arrakis"}
    assert api.patch(path, {"config": {"shop": "a.evil.com?x="}}).status_code == 422


def test_an_old_etag_is_412(api, path):
    seen = api.get(path)["ETag"]
    api.patch(path, {"name": "A"})
    assert api.patch(path, {"name": "B"}, headers={"If-Match": seen}).status_code == 412


def test_delete_of_an_app_in_use_is_409_with_the_number(api, account):
    app = make_app(account)
    make_credential(account, make_linear_body(app))
    answer = api.delete(f"/v1/oauth-apps/{app.id}")
    assert (answer.status_code, answer.json()["credentials"]) == (409, 1)


def test_delete_removes_app_and_secrets(api, path):
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert not OAuthAppSecret.objects.exists()


def test_full_secrets_are_shown_on_request_and_recorded(api, app, path):
    answer = api.get("/v1/oauth-apps?truncate_secrets=false")
    assert answer.json()["data"][0]["client_secret"] == "first"
    assert answer["Cache-Control"] == "no-store"
    assert api.get(f"{path}?truncate_secrets=false").json()["client_secret"] == "first"
    assert Event.objects.filter(verb="oauth_app.revealed", target_id=app.id).count() == 2


def test_full_secrets_need_the_reveal_scope_as_well(account, app):
    reader = ApiClient(make_token(account, "oauth_apps:read"))
    answer = reader.get("/v1/oauth-apps?truncate_secrets=false")
    assert (answer.status_code, answer.json()["missing_scope"]) == (403, "credentials:reveal")
    assert reader.get("/v1/oauth-apps?truncate_secrets=true").status_code == 200


def test_truncate_secrets_is_true_or_false(api, app):
    assert api.get("/v1/oauth-apps?truncate_secrets=0").status_code == 400


def test_machine_with_a_fast_clock_does_not_drop_the_newest_secret(api, app, path):
    """Ids contain the clock of their process, but the database's clock decides which is newest."""
    api.patch(path, {"client_secret": "second"})
    ahead = app.secrets.order_by("-created_at").first()
    assert ahead is not None
    OAuthAppSecret.objects.filter(id=ahead.id).update(id="ffffffff-ffff-7fff-bfff-ffffffffffff")
    api.patch(path, {"client_secret": "third"})
    newest = app.secrets.order_by("-created_at").first()
    assert newest is not None
    assert unseal(Place.of(newest, "sealed"), newest.sealed) == "third"
