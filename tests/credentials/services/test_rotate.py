"""POST /rotate replaces the secrets of a credential."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.core.grant_state import get_grant
from credentials.models import Credential, CredentialAlias, Grant
from events.models import Event
from providers.kinds import Kind
from providers.registry import get_registry
from tests.api import ApiClient
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body
from vault.sealing import Place, unseal

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(account) -> Credential:
    return make_credential(account, make_stripe_body("sk_1", name="Mine"))


def rotate(api: ApiClient, row: Credential, expect: int = 200, **properties: Any) -> Any:
    response = api.post(f"/v1/credentials/{row.id}/rotate", {"properties": properties})
    assert response.status_code == expect, response.content
    return response


def reload(row: Credential) -> Credential:
    return Credential.objects.get(id=row.id)


def decrypt(row: Credential) -> Any:
    held: Any = reload(row)
    return unseal(Place.of(held, "secrets"), held.secrets)


def test_rotate_replaces_the_secret(api, row):
    shown = rotate(api, row, secret="sk_2").json()
    assert (shown["id"], shown["name"]) == (str(row.id), "Mine")
    assert shown["properties"]["secret"] == "**********"
    assert decrypt(row) == {"secret": "sk_2"}


def test_rotate_keeps_the_former_identity_as_an_alias(api, row):
    rotate(api, row, secret="sk_2")
    assert reload(row).identity != row.identity
    assert bytes(CredentialAlias.objects.get().identity) == bytes(row.identity)


def test_import_of_the_new_secret_finds_the_row(api, row):
    rotate(api, row, secret="sk_2")
    response = api.post("/v1/credentials", make_stripe_body("sk_2", name="Mine"))
    assert (response.json()["id"], response["Latchkey-Import"]) == (str(row.id), "unchanged")


def test_import_of_the_former_secret_does_not_restore_it(api, row):
    rotate(api, row, secret="sk_2")
    response = api.post("/v1/credentials", make_stripe_body("sk_1", name="Mine"))
    assert (response.json()["id"], response["Latchkey-Import"]) == (str(row.id), "unchanged")
    assert decrypt(row) == {"secret": "sk_2"}


def test_import_of_the_former_secret_changes_other_fields(api, row):
    rotate(api, row, secret="sk_2")
    response = api.post("/v1/credentials", make_stripe_body("sk_1", name="Renamed"))
    assert (response["Latchkey-Import"], response.json()["name"]) == ("updated", "Renamed")
    assert decrypt(row) == {"secret": "sk_2"}


def test_import_of_former_and_new_secret_finds_one_row(api, row):
    rotate(api, row, secret="sk_2")
    lines = [make_stripe_body("sk_1", name="A"), make_stripe_body("sk_2", name="B")]
    report = api.post("/v1/credentials/import", lines).json()
    assert (report["created"], report["updated"], report["rejected"]) == (0, 1, 1)
    assert "same upstream account" in report["errors"][0]["reason"]
    assert Credential.objects.count() == 1


def test_rotate_back_to_the_former_secret(api, row):
    rotate(api, row, secret="sk_2")
    rotate(api, row, secret="sk_1")
    assert decrypt(row) == {"secret": "sk_1"}
    assert bytes(reload(row).identity) == bytes(row.identity)
    response = api.post("/v1/credentials", make_stripe_body("sk_2", name="Mine"))
    assert (response.json()["id"], response["Latchkey-Import"]) == (str(row.id), "unchanged")


def test_rotate_to_the_same_secret_changes_nothing(api, row):
    before = api.get(f"/v1/credentials/{row.id}").json()
    assert rotate(api, row, secret="sk_1").json() == before
    assert not Event.objects.filter(verb="credential.rotated").exists()


def test_rotate_to_the_secret_of_another_credential_is_409(api, account, row):
    other = make_credential(account, make_stripe_body("sk_2"))
    response = rotate(api, row, 409, secret="sk_2")
    assert response.json()["id"] == str(other.id)
    assert decrypt(row) == {"secret": "sk_1"}


def test_rotate_to_the_former_secret_of_another_credential_is_409(api, account, row):
    other = make_credential(account, make_stripe_body("sk_2"))
    rotate(api, other, secret="sk_3")
    response = rotate(api, row, 409, secret="sk_2")
    assert response.json()["id"] == str(other.id)


def test_rotate_to_the_secret_of_another_account(api, other_account, row):
    theirs = make_credential(other_account, make_stripe_body("sk_2"))
    rotate(api, row, secret="sk_2")
    assert decrypt(row) == decrypt(theirs) == {"secret": "sk_2"}
    assert reload(theirs).revision == 1


def test_rotate_resets_the_health(api, row):
    Credential.objects.filter(id=row.id).update(
        health={"status": "error", "notes": ["x"], "time": "2026-01-01T00:00:00Z"}
    )
    assert rotate(api, row, secret="sk_2").json()["health"]["status"] == "unknown"


def test_rotate_records_an_event_and_a_revision(api, row):
    response = rotate(api, row, secret="sk_2")
    assert response["ETag"] == '"2"'
    event = Event.objects.get(verb="credential.rotated")
    assert event.changed == ["properties.secret"]


def test_rotate_rejects_an_old_etag(api, row):
    response = api.post(
        f"/v1/credentials/{row.id}/rotate",
        {"properties": {"secret": "sk_2"}},
        headers={"If-Match": '"9"'},
    )
    assert response.status_code == 412


def test_rotate_of_all_secrets_repairs_a_damaged_row(api, row, break_seal):
    break_seal(row)
    rotate(api, row, secret="sk_2")
    assert decrypt(row) == {"secret": "sk_2"}


def test_rotate_keeps_secrets_that_are_left_out(api, account):
    grant = make_credential(account, make_linear_body(make_app(account)))
    rotate(api, grant, access_token="lin_2")
    assert decrypt(grant) == {"access_token": "lin_2", "refresh_token": "lin_refresh_first"}


def test_rotate_of_a_damaged_row_requires_all_secrets(api, account, break_seal):
    grant = make_credential(account, make_linear_body(make_app(account)))
    break_seal(grant)
    rotate(api, grant, 409, access_token="lin_2")
    rotate(api, grant, access_token="lin_2", refresh_token="lin_r_2")
    assert decrypt(grant) == {"access_token": "lin_2", "refresh_token": "lin_r_2"}


def test_rotate_resets_the_refresh_state(api, account):
    grant = make_credential(account, make_linear_body(make_app(account)))
    generation = get_grant(grant).generation
    Grant.objects.filter(credentials=grant.id).update(state="needs_reauth", failures=3)
    rotate(api, grant, access_token="lin_2", refresh_token="lin_r_2")
    after = reload(grant)
    stored = get_grant(after)
    assert (stored.state, stored.failures) == ("active", 0)
    assert stored.generation == generation + 1
    assert stored.next_at is not None


def test_rotate_rejects_a_grant_of_another_upstream_account(api, account):
    grant = make_credential(account, make_linear_body(make_app(account)))
    response = rotate(api, grant, 422, access_token="lin_2", linear_org_id="org-2")
    assert "properties.linear_org_id" in response.json()["validation_errors"]
    rotate(api, grant, access_token="lin_2", linear_org_id="org-1")


def test_rotate_changes_the_id_of_a_key(api, account):
    old = dict(get_registry().kinds["twilio_key"].example)
    new_sid = old["key_sid"][:-1] + ("1" if old["key_sid"][-1] != "1" else "2")
    row = make_credential(account, {"properties": old})
    assert rotate(api, row, key="k2", key_sid=new_sid).json()["properties"]["key_sid"] == new_sid
    response = api.post("/v1/credentials", {"properties": old})
    assert (response.json()["id"], response["Latchkey-Import"]) == (str(row.id), "unchanged")
    assert response.json()["properties"]["key_sid"] == new_sid


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"properties": None},
        {"properties": {}},
        {"properties": {"secret": ""}},
        {"properties": {"secret": 7}},
        {"properties": {"test": True}},
        {"properties": {"secret": "**********"}},
        {"properties": {"secret": "sk_2", "nope": 1}},
        {"properties": {"secret": "sk_2", "kind": "sendgrid_key"}},
        {"properties": {"secret": "sk_2"}, "name": "x"},
    ],
    ids=[
        "none",
        "null",
        "empty",
        "blank",
        "number",
        "no secret",
        "mask",
        "unknown",
        "kind",
        "more",
    ],
)
def test_rotate_rejects_a_body_without_a_new_secret(api, row, body):
    assert api.post(f"/v1/credentials/{row.id}/rotate", body).status_code == 422
    assert decrypt(row) == {"secret": "sk_1"}


def test_rotate_rejects_a_kind_without_secrets(api, account):
    properties = dict(get_registry().kinds["github_app"].example)
    app = make_app(account, "github")
    row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    response = rotate(api, row, 409, installation_id=properties["installation_id"])
    assert "have no secret to rotate" in response.json()["detail"]
    assert reload(row).revision == 1


def kinds() -> list[str]:
    every = get_registry().kinds.values()
    return sorted(
        {k.name for k in every if set(k.secret_fields) & set(k.example) and k.provider != "custom"}
    )


@pytest.mark.parametrize("name", kinds())
def test_rotate_every_kind_and_import_its_former_body(api, account, name):
    kind = get_registry().kinds[name]
    body: dict[str, Any] = {"properties": dict(kind.example)}
    if kind.needs_app:
        body["oauth_app_id"] = str(make_app(account, kind.provider).id)
    if kind.rotates and not kind.identity:
        body["external_id"] = "x"
    row = make_credential(account, body)
    held = [field for field in kind.secret_fields if field in kind.example]
    new: Any = {field: other_secret(kind, field) for field in held}
    rotate(api, row, **new)
    assert {field: decrypt(row)[field] for field in held} == new
    response = api.post("/v1/credentials", body)
    assert (response.json()["id"], response["Latchkey-Import"]) == (str(row.id), "unchanged")
    assert {field: decrypt(row)[field] for field in held} == new


def other_secret(kind: Kind, field: str) -> Any:
    value = kind.example[field]
    return value[:-1] + ("1" if value[-1] != "1" else "2")
