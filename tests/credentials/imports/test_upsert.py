"""POST /v1/credentials: one upstream account is one row."""

from __future__ import annotations

import pytest

from credentials.models import Credential
from events.models import Event
from tests.factories import make_app, make_linear_body, make_stripe_body
from vault.sealing import Place, SealedValue, seal, unseal
from vault.services import compute_fingerprint


def blob(id: str) -> bytes:
    sealed = Credential.objects.get(id=id).secrets
    assert sealed is not None
    return sealed.blob


def opened(id: str) -> dict[str, str]:
    place = Place.of(Credential.objects.get(id=id), "secrets")
    return dict(unseal(place, SealedValue(blob(id))))


def test_answers_with_the_credential_and_its_secret_masked(api):
    answer = api.post("/v1/credentials", make_stripe_body("sk_live_canary"))
    assert answer.status_code == 200
    assert answer["Latchkey-Import"] == "created"
    assert answer.json()["properties"] == {
        "kind": "stripe_key",
        "name": "Choam Stripe",
        "secret": "**********",
        "test": False,
    }
    assert b"canary" not in answer.content


def test_seals_the_secret(api):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_canary")).json()["id"]
    assert opened(id) == {"secret": "sk_live_canary"}
    assert b"canary" not in blob(id)


def test_the_same_account_again_is_the_same_row_unchanged(api):
    first = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()
    again = api.post("/v1/credentials", make_stripe_body("sk_live_1"))
    assert again["Latchkey-Import"] == "unchanged"
    assert again.json() == first


def test_unchanged_writes_no_event(api):
    api.post("/v1/credentials", make_stripe_body("sk_live_1"))
    before = Event.objects.count()
    api.post("/v1/credentials", make_stripe_body("sk_live_1"))
    assert Event.objects.count() == before


def test_absent_keys_keep_what_is_stored(api):
    body = make_stripe_body("sk_live_1", name="Mine", metadata={"a": 1}, owner_email="a@b.example")
    first = api.post("/v1/credentials", body).json()
    again = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()
    kept = ("name", "metadata", "owner_email", "updated_at")
    assert {key: again[key] for key in kept} == {key: first[key] for key in kept}


def test_empty_metadata_empties(api):
    api.post("/v1/credentials", make_stripe_body("sk_live_1", metadata={"a": 1}))
    answer = api.post("/v1/credentials", make_stripe_body("sk_live_1", metadata={}))
    assert answer["Latchkey-Import"] == "updated"
    assert answer.json()["metadata"] == {}


def test_an_update_names_what_changed_in_its_event(api):
    api.post("/v1/credentials", make_stripe_body("sk_live_1"))
    api.post("/v1/credentials", make_stripe_body("sk_live_1", name="New", metadata={"b": 2}))
    event = Event.objects.filter(verb="credential.updated").get()
    assert event.changed == ["name", "metadata"]


def test_a_kind_alias_and_a_property_alias_are_normalised(api):
    body = {"properties": {"kind": "stripe_key", "secret_key": "sk_live_1"}}
    shown = api.post("/v1/credentials", body).json()["properties"]
    assert shown == {"kind": "stripe_key", "secret": "**********"}


def test_an_import_without_the_refresh_token_keeps_it(api, account):
    app = make_app(account)
    id = api.post("/v1/credentials", make_linear_body(app)).json()["id"]
    body = make_linear_body(app, properties={"access_token": "lin_oauth_second"})
    del body["properties"]["refresh_token"]
    assert api.post("/v1/credentials", body)["Latchkey-Import"] == "updated"
    assert opened(id) == {"access_token": "lin_oauth_second", "refresh_token": "lin_refresh_first"}


def refreshed(id: str, **secrets: str) -> None:
    """What a refresh does to a row: new current values, the imported ones remembered."""
    row = Credential.objects.get(id=id)
    row.secrets = seal(Place.of(row, "secrets"), {**opened(id), **secrets})
    for name, value in secrets.items():
        row.fingerprints[name][0] = compute_fingerprint(row.account_id, value)
    row.save(update_fields=["secrets", "fingerprints"])


def test_last_nights_file_does_not_roll_back_a_refreshed_token(api, account):
    app = make_app(account)
    body = make_linear_body(app, properties={"expires_at": "2026-01-01T00:00:00Z"})
    id = api.post("/v1/credentials", body).json()["id"]
    refreshed(id, access_token="lin_oauth_fresh", refresh_token="lin_refresh_fresh")
    assert api.post("/v1/credentials", body)["Latchkey-Import"] == "unchanged"
    assert opened(id)["refresh_token"] == "lin_refresh_fresh"


def test_a_new_access_token_beside_an_outdated_refresh_token_keeps_the_fresh_one(api, account):
    app = make_app(account)
    id = api.post("/v1/credentials", make_linear_body(app)).json()["id"]
    refreshed(id, refresh_token="lin_refresh_fresh")
    api.post("/v1/credentials", make_linear_body(app, properties={"access_token": "lin_new"}))
    assert opened(id) == {"access_token": "lin_new", "refresh_token": "lin_refresh_fresh"}


def test_a_body_obtained_before_the_stored_one_is_409(api):
    body = make_stripe_body("sk_live_1", obtained_at="2026-02-01T00:00:00Z")
    api.post("/v1/credentials", body)
    older = {**body, "obtained_at": "2026-01-31T23:59:59Z", "name": "old"}
    assert api.post("/v1/credentials", older).status_code == 409
    assert api.post("/v1/credentials", {**body, "name": "same"}).status_code == 200


def test_external_id_names_the_account_for_any_kind(api):
    first = api.post("/v1/credentials", make_stripe_body("sk_live_1", external_id="acct_1")).json()
    again = api.post("/v1/credentials", make_stripe_body("sk_live_2", external_id="acct_1")).json()
    assert again["id"] == first["id"]
    assert opened(first["id"]) == {"secret": "sk_live_2"}


def test_a_rotating_kind_without_identity_names_both_ways_out(api, account):
    app = make_app(account)
    body = make_linear_body(app)
    del body["properties"]["linear_org_id"]
    answer = api.post("/v1/credentials", body)
    assert answer.status_code == 422
    start = "is required to tell which upstream account this is, unless "
    assert answer.json()["validation_errors"] == {
        "properties.linear_org_id": [start + "external_id is given"],
        "external_id": [start + "properties.linear_org_id is given"],
    }


def test_of_two_properties_the_absent_one_is_named(api, account):
    app = make_app(account, provider="datadog")
    body = {"properties": {"kind": "datadog_oauth2", "site": "datadoghq.eu", "access_token": "t"}}
    answer = api.post("/v1/credentials", {**body, "oauth_app_id": str(app.id)})
    assert set(answer.json()["validation_errors"]) == {"properties.org_public_id", "external_id"}


@pytest.mark.parametrize(
    ("properties", "missing"),
    [
        ({"kind": "stripe_key"}, {"properties.secret"}),
        ({"kind": "freshdesk_key", "subdomain": "acme"}, {"properties.key"}),
    ],
    ids=["says it alone", "beside a property"],
)
def test_a_secret_that_is_needed_anyway_is_plainly_required(api, properties, missing):
    answer = api.post("/v1/credentials", {"properties": properties})
    assert answer.status_code == 422
    assert answer.json()["validation_errors"] == {name: ["is required"] for name in missing}


def test_an_oauth_kind_needs_its_app(api):
    body = {"properties": {"kind": "linear_oauth2", "linear_org_id": "o", "access_token": "t"}}
    answer = api.post("/v1/credentials", body)
    assert answer.status_code == 422
    assert "oauth_app_id" in answer.json()["validation_errors"]


def test_another_accounts_app_is_answered_like_an_unknown_one(api, other_account):
    app = make_app(other_account, "stripe")
    unknown = "01989aa0-0000-7000-8000-000000000000"
    foreign = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=str(app.id)))
    missing = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=unknown))
    assert foreign.status_code == missing.status_code == 422
    assert foreign.json() | {"request_id": ""} == missing.json() | {"request_id": ""}


def test_an_app_of_another_provider_is_refused(api, account):
    app = make_app(account, "github")
    answer = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=str(app.id)))
    assert answer.json()["validation_errors"] == {
        "oauth_app_id": ["is for github; stripe_key needs stripe"]
    }


def test_the_embedded_app_has_the_eight_documented_fields(api, account):
    app = make_app(account, "stripe", metadata={"x": 1})
    shown = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=str(app.id))).json()
    assert shown["oauth_app_id"] == str(app.id)
    assert shown["oauth_app"] == {
        "id": str(app.id),
        "name": app.name,
        "client_id": app.client_id,
        "client_secret": "**********",
        "metadata": {"x": 1},
        "provider": "stripe",
        "created_at": shown["oauth_app"]["created_at"],
        "updated_at": shown["oauth_app"]["updated_at"],
    }


def test_a_row_that_does_not_open_is_healed_by_all_its_secrets(api):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()["id"]
    damage(id)
    assert (
        api.post("/v1/credentials", make_stripe_body("sk_live_1"))["Latchkey-Import"] == "updated"
    )
    assert opened(id) == {"secret": "sk_live_1"}


def test_a_row_that_does_not_open_refuses_some_of_its_secrets(api, account):
    app = make_app(account)
    id = api.post("/v1/credentials", make_linear_body(app)).json()["id"]
    damage(id)
    before = blob(id)
    body = make_linear_body(app, properties={"access_token": "new"})
    del body["properties"]["refresh_token"]
    assert api.post("/v1/credentials", body).status_code == 409
    assert blob(id) == before


def damage(id: str) -> None:
    whole = blob(id)
    Credential.objects.filter(id=id).update(
        secrets=SealedValue(whole[:-1] + bytes([whole[-1] ^ 1]))
    )


@pytest.mark.parametrize("field", ["id", "tenant_id", "propertees"])
def test_an_unknown_field_is_refused_by_name(api, field):
    answer = api.post("/v1/credentials", {**make_stripe_body(), field: 1})
    assert answer.status_code == 422
    assert answer.json()["validation_errors"] == {field: ["unknown field"]}
    assert not Credential.objects.exists()


def test_a_kind_without_secrets_has_nothing_sealed(api, account):
    app = make_app(account, "github")
    properties = {"kind": "github", "installation_id": 42, "account_login": "atreides"}
    body = {"properties": properties, "oauth_app_id": str(app.id)}
    shown = api.post("/v1/credentials", body).json()
    assert shown["kind"] == "github_app"
    assert Credential.objects.get(id=shown["id"]).secrets is None


def test_an_outdated_access_token_does_not_bring_its_expiry_back(api, account):
    app = make_app(account)
    old = {"expires_at": "2026-01-01T00:00:00Z"}
    id = api.post("/v1/credentials", make_linear_body(app, properties=old)).json()["id"]
    refreshed(id, access_token="lin_oauth_fresh")
    body = make_linear_body(app, properties={**old, "refresh_token": "lin_refresh_new"})
    Credential.objects.filter(id=id).update(
        properties={**body["properties"], "expires_at": "2030-01-01T00:00:00Z"}
    )
    shown = api.post("/v1/credentials", body).json()
    assert shown["properties"]["expires_at"] == "2030-01-01T00:00:00Z"
    assert opened(id)["refresh_token"] == "lin_refresh_new"


def test_a_time_to_come_is_refused_as_obtained_at(api):
    body = make_stripe_body("s1", obtained_at="9999-01-01T00:00:00Z")
    answer = api.post("/v1/credentials", body)
    assert (answer.status_code, list(answer.json()["validation_errors"])) == (422, ["obtained_at"])


def test_a_key_of_an_unregistered_custom_service_is_refused(api):
    body = {"properties": {"kind": "custom_key", "provider": "custom.nope", "key": "k"}}
    assert api.post("/v1/credentials", body).status_code == 422
