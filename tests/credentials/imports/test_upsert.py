"""POST /v1/credentials: one upstream account is one row."""

from __future__ import annotations

import pytest

from credentials.models import Credential
from events.models import Event
from tests.factories import make_app, make_linear_body, make_stripe_body
from vault.sealing import Place, SealedValue, seal, unseal
from vault.services import compute_fingerprint


def get_ciphertext(id: str) -> bytes:
    sealed = Credential.objects.get(id=id).secrets
    assert sealed is not None
    return sealed.blob


def get_secrets(id: str) -> dict[str, str]:
    place = Place.of(Credential.objects.get(id=id), "secrets")
    return dict(unseal(place, SealedValue(get_ciphertext(id))))


def test_response_is_the_credential_with_masked_secrets(api):
    response = api.post("/v1/credentials", make_stripe_body("sk_live_canary"))
    assert response.status_code == 200
    assert response["Latchkey-Import"] == "created"
    assert response.json()["properties"] == {
        "kind": "stripe_key",
        "name": "Choam Stripe",
        "secret": "**********",
        "test": False,
    }
    assert b"canary" not in response.content


def test_encrypts_the_secret(api):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_canary")).json()["id"]
    assert get_secrets(id) == {"secret": "sk_live_canary"}
    assert b"canary" not in get_ciphertext(id)


def test_same_account_is_the_same_row(api):
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


def test_empty_metadata_clears(api):
    api.post("/v1/credentials", make_stripe_body("sk_live_1", metadata={"a": 1}))
    response = api.post("/v1/credentials", make_stripe_body("sk_live_1", metadata={}))
    assert response["Latchkey-Import"] == "updated"
    assert response.json()["metadata"] == {}


def test_event_names_the_changed_fields(api):
    api.post("/v1/credentials", make_stripe_body("sk_live_1"))
    api.post("/v1/credentials", make_stripe_body("sk_live_1", name="New", metadata={"b": 2}))
    event = Event.objects.filter(verb="credential.updated").get()
    assert event.changed == ["name", "metadata"]


def test_aliases_are_normalised(api):
    body = {"properties": {"kind": "stripe_key", "secret_key": "sk_live_1"}}
    shown = api.post("/v1/credentials", body).json()["properties"]
    assert shown == {"kind": "stripe_key", "secret": "**********"}


def test_absent_refresh_token_is_kept(api, account):
    app = make_app(account)
    id = api.post("/v1/credentials", make_linear_body(app)).json()["id"]
    body = make_linear_body(app, properties={"access_token": "lin_oauth_second"})
    del body["properties"]["refresh_token"]
    assert api.post("/v1/credentials", body)["Latchkey-Import"] == "updated"
    assert get_secrets(id) == {
        "access_token": "lin_oauth_second",
        "refresh_token": "lin_refresh_first",
    }


def simulate_refresh(id: str, **secrets: str) -> None:
    """Change a row as a refresh does: new current values, with the imported ones in the history."""
    row = Credential.objects.get(id=id)
    row.secrets = seal(Place.of(row, "secrets"), {**get_secrets(id), **secrets})
    for name, value in secrets.items():
        row.fingerprints[name][0] = compute_fingerprint(row.account_id, value)
    row.save(update_fields=["secrets", "fingerprints"])


def test_old_file_does_not_roll_back_a_refreshed_token(api, account):
    app = make_app(account)
    body = make_linear_body(app, properties={"expires_at": "2026-01-01T00:00:00Z"})
    id = api.post("/v1/credentials", body).json()["id"]
    simulate_refresh(id, access_token="lin_oauth_fresh", refresh_token="lin_refresh_fresh")
    assert api.post("/v1/credentials", body)["Latchkey-Import"] == "unchanged"
    assert get_secrets(id)["refresh_token"] == "lin_refresh_fresh"


def test_outdated_refresh_token_does_not_replace_the_fresh_one(api, account):
    app = make_app(account)
    id = api.post("/v1/credentials", make_linear_body(app)).json()["id"]
    simulate_refresh(id, refresh_token="lin_refresh_fresh")
    api.post("/v1/credentials", make_linear_body(app, properties={"access_token": "lin_new"}))
    assert get_secrets(id) == {"access_token": "lin_new", "refresh_token": "lin_refresh_fresh"}


def test_body_older_than_the_stored_one_is_409(api):
    body = make_stripe_body("sk_live_1", obtained_at="2026-02-01T00:00:00Z")
    api.post("/v1/credentials", body)
    older = {**body, "obtained_at": "2026-01-31T23:59:59Z", "name": "old"}
    assert api.post("/v1/credentials", older).status_code == 409
    assert api.post("/v1/credentials", {**body, "name": "same"}).status_code == 200


def test_external_id_identifies_the_account(api):
    first = api.post("/v1/credentials", make_stripe_body("sk_live_1", external_id="acct_1")).json()
    again = api.post("/v1/credentials", make_stripe_body("sk_live_2", external_id="acct_1")).json()
    assert again["id"] == first["id"]
    assert get_secrets(first["id"]) == {"secret": "sk_live_2"}


def test_missing_identity_names_both_alternatives(api, account):
    app = make_app(account)
    body = make_linear_body(app)
    del body["properties"]["linear_org_id"]
    response = api.post("/v1/credentials", body)
    assert response.status_code == 422
    start = "is required to tell which upstream account this is, unless "
    assert response.json()["validation_errors"] == {
        "properties.linear_org_id": [start + "external_id is given"],
        "external_id": [start + "properties.linear_org_id is given"],
    }


def test_error_names_the_absent_identity_property(api, account):
    app = make_app(account, provider="datadog")
    body = {"properties": {"kind": "datadog_oauth2", "site": "datadoghq.eu", "access_token": "t"}}
    response = api.post("/v1/credentials", {**body, "oauth_app_id": str(app.id)})
    assert set(response.json()["validation_errors"]) == {"properties.org_public_id", "external_id"}


@pytest.mark.parametrize(
    ("properties", "missing"),
    [
        ({"kind": "stripe_key"}, {"properties.secret"}),
        ({"kind": "freshdesk_key", "subdomain": "acme"}, {"properties.key"}),
    ],
    ids=["says it alone", "beside a property"],
)
def test_required_secret_is_named_alone(api, properties, missing):
    response = api.post("/v1/credentials", {"properties": properties})
    assert response.status_code == 422
    assert response.json()["validation_errors"] == {name: ["is required"] for name in missing}


def test_oauth_kind_needs_its_app(api):
    body = {"properties": {"kind": "linear_oauth2", "linear_org_id": "o", "access_token": "t"}}
    response = api.post("/v1/credentials", body)
    assert response.status_code == 422
    assert "oauth_app_id" in response.json()["validation_errors"]


def test_app_of_another_account_is_unknown(api, other_account):
    app = make_app(other_account, "stripe")
    unknown = "01989aa0-0000-7000-8000-000000000000"
    foreign = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=str(app.id)))
    missing = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=unknown))
    assert foreign.status_code == missing.status_code == 422
    assert foreign.json() | {"request_id": ""} == missing.json() | {"request_id": ""}


def test_app_of_another_provider_is_rejected(api, account):
    app = make_app(account, "github")
    response = api.post("/v1/credentials", make_stripe_body("s1", oauth_app_id=str(app.id)))
    assert response.json()["validation_errors"] == {
        "oauth_app_id": ["is for github; stripe_key needs stripe"]
    }


def test_embedded_app_has_the_documented_fields(api, account):
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


def test_undecryptable_row_is_replaced_by_all_its_secrets(api):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()["id"]
    damage(id)
    assert (
        api.post("/v1/credentials", make_stripe_body("sk_live_1"))["Latchkey-Import"] == "updated"
    )
    assert get_secrets(id) == {"secret": "sk_live_1"}


def test_undecryptable_row_rejects_some_of_its_secrets(api, account):
    app = make_app(account)
    id = api.post("/v1/credentials", make_linear_body(app)).json()["id"]
    damage(id)
    before = get_ciphertext(id)
    body = make_linear_body(app, properties={"access_token": "new"})
    del body["properties"]["refresh_token"]
    assert api.post("/v1/credentials", body).status_code == 409
    assert get_ciphertext(id) == before


def damage(id: str) -> None:
    whole = get_ciphertext(id)
    Credential.objects.filter(id=id).update(
        secrets=SealedValue(whole[:-1] + bytes([whole[-1] ^ 1]))
    )


@pytest.mark.parametrize("field", ["tenant_id", "propertees"])
def test_unknown_field_is_named(api, field):
    response = api.post("/v1/credentials", {**make_stripe_body(), field: 1})
    assert response.status_code == 422
    assert response.json()["validation_errors"] == {field: ["unknown field"]}
    assert not Credential.objects.exists()


def test_kind_without_secrets_stores_no_ciphertext(api, account):
    app = make_app(account, "github")
    properties = {"kind": "github", "installation_id": 42, "account_login": "atreides"}
    body = {"properties": properties, "oauth_app_id": str(app.id)}
    shown = api.post("/v1/credentials", body).json()
    assert shown["kind"] == "github_app"
    assert Credential.objects.get(id=shown["id"]).secrets is None


def test_outdated_access_token_does_not_restore_its_expiry(api, account):
    app = make_app(account)
    old = {"expires_at": "2026-01-01T00:00:00Z"}
    id = api.post("/v1/credentials", make_linear_body(app, properties=old)).json()["id"]
    simulate_refresh(id, access_token="lin_oauth_fresh")
    body = make_linear_body(app, properties={**old, "refresh_token": "lin_refresh_new"})
    Credential.objects.filter(id=id).update(
        properties={**body["properties"], "expires_at": "2030-01-01T00:00:00Z"}
    )
    shown = api.post("/v1/credentials", body).json()
    assert shown["properties"]["expires_at"] == "2030-01-01T00:00:00Z"
    assert get_secrets(id)["refresh_token"] == "lin_refresh_new"


def test_obtained_at_in_the_future_is_rejected(api):
    body = make_stripe_body("s1", obtained_at="9999-01-01T00:00:00Z")
    response = api.post("/v1/credentials", body)
    assert (response.status_code, list(response.json()["validation_errors"])) == (
        422,
        ["obtained_at"],
    )


def test_key_of_an_unregistered_service_is_rejected(api):
    body = {"properties": {"kind": "custom_key", "provider": "custom.nope", "key": "k"}}
    assert api.post("/v1/credentials", body).status_code == 422
