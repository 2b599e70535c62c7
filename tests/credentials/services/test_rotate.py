"""POST /rotate: new secrets for the row that is there."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.models import Credential, CredentialAlias
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
    answer = api.post(f"/v1/credentials/{row.id}/rotate", {"properties": properties})
    assert answer.status_code == expect, answer.content
    return answer


def again(row: Credential) -> Credential:
    return Credential.objects.get(id=row.id)


def secrets(row: Credential) -> Any:
    held: Any = again(row)
    return unseal(Place.of(held, "secrets"), held.secrets)


def test_the_row_holds_the_new_secret(api, row):
    shown = rotate(api, row, secret="sk_2").json()
    assert (shown["id"], shown["name"]) == (str(row.id), "Mine")
    assert shown["properties"]["secret"] == "**********"
    assert secrets(row) == {"secret": "sk_2"}


def test_the_identity_moves_and_the_former_stays_as_an_alias(api, row):
    rotate(api, row, secret="sk_2")
    assert again(row).identity != row.identity
    assert bytes(CredentialAlias.objects.get().identity) == bytes(row.identity)


def test_importing_the_new_secret_finds_the_row(api, row):
    rotate(api, row, secret="sk_2")
    answer = api.post("/v1/credentials", make_stripe_body("sk_2", name="Mine"))
    assert (answer.json()["id"], answer["Latchkey-Import"]) == (str(row.id), "unchanged")


def test_importing_the_former_secret_finds_the_row_and_rolls_nothing_back(api, row):
    rotate(api, row, secret="sk_2")
    answer = api.post("/v1/credentials", make_stripe_body("sk_1", name="Mine"))
    assert (answer.json()["id"], answer["Latchkey-Import"]) == (str(row.id), "unchanged")
    assert secrets(row) == {"secret": "sk_2"}


def test_importing_the_former_secret_still_changes_what_is_beside_it(api, row):
    rotate(api, row, secret="sk_2")
    answer = api.post("/v1/credentials", make_stripe_body("sk_1", name="Renamed"))
    assert (answer["Latchkey-Import"], answer.json()["name"]) == ("updated", "Renamed")
    assert secrets(row) == {"secret": "sk_2"}


def test_the_former_and_the_new_in_one_file_are_one_row(api, row):
    rotate(api, row, secret="sk_2")
    lines = [make_stripe_body("sk_1", name="A"), make_stripe_body("sk_2", name="B")]
    report = api.post("/v1/credentials/import", lines).json()
    assert (report["created"], report["updated"], report["rejected"]) == (0, 1, 1)
    assert "same upstream account" in report["errors"][0]["reason"]
    assert Credential.objects.count() == 1


def test_there_and_back_again(api, row):
    rotate(api, row, secret="sk_2")
    rotate(api, row, secret="sk_1")
    assert secrets(row) == {"secret": "sk_1"}
    assert bytes(again(row).identity) == bytes(row.identity)
    answer = api.post("/v1/credentials", make_stripe_body("sk_2", name="Mine"))
    assert (answer.json()["id"], answer["Latchkey-Import"]) == (str(row.id), "unchanged")


def test_the_same_secret_changes_nothing(api, row):
    before = api.get(f"/v1/credentials/{row.id}").json()
    assert rotate(api, row, secret="sk_1").json() == before
    assert not Event.objects.filter(verb="credential.rotated").exists()


def test_another_credentials_secret_is_a_conflict_that_names_it(api, account, row):
    other = make_credential(account, make_stripe_body("sk_2"))
    answer = rotate(api, row, 409, secret="sk_2")
    assert answer.json()["id"] == str(other.id)
    assert secrets(row) == {"secret": "sk_1"}


def test_another_credentials_former_secret_is_a_conflict_too(api, account, row):
    other = make_credential(account, make_stripe_body("sk_2"))
    rotate(api, other, secret="sk_3")
    answer = rotate(api, row, 409, secret="sk_2")
    assert answer.json()["id"] == str(other.id)


def test_another_accounts_secret_is_nobodys_business(api, other_account, row):
    theirs = make_credential(other_account, make_stripe_body("sk_2"))
    rotate(api, row, secret="sk_2")
    assert secrets(row) == secrets(theirs) == {"secret": "sk_2"}
    assert again(theirs).revision == 1


def test_health_is_unknown_again(api, row):
    Credential.objects.filter(id=row.id).update(
        health={"status": "error", "notes": ["x"], "time": "2026-01-01T00:00:00Z"}
    )
    assert rotate(api, row, secret="sk_2").json()["health"]["status"] == "unknown"


def test_it_leaves_an_event_and_another_revision(api, row):
    answer = rotate(api, row, secret="sk_2")
    assert answer["ETag"] == '"2"'
    event = Event.objects.get(verb="credential.rotated")
    assert event.changed == ["properties.secret"]


def test_a_stale_tag_is_refused(api, row):
    answer = api.post(
        f"/v1/credentials/{row.id}/rotate",
        {"properties": {"secret": "sk_2"}},
        headers={"If-Match": '"9"'},
    )
    assert answer.status_code == 412


def test_a_row_that_does_not_open_is_healed_by_all_its_secrets(api, row, break_seal):
    break_seal(row)
    rotate(api, row, secret="sk_2")
    assert secrets(row) == {"secret": "sk_2"}


def test_a_grant_keeps_the_secrets_that_are_left_out(api, account):
    grant = make_credential(account, make_linear_body(make_app(account)))
    rotate(api, grant, access_token="lin_2")
    assert secrets(grant) == {"access_token": "lin_2", "refresh_token": "lin_refresh_first"}


def test_a_grant_that_does_not_open_needs_them_all(api, account, break_seal):
    grant = make_credential(account, make_linear_body(make_app(account)))
    break_seal(grant)
    rotate(api, grant, 409, access_token="lin_2")
    rotate(api, grant, access_token="lin_2", refresh_token="lin_r_2")
    assert secrets(grant) == {"access_token": "lin_2", "refresh_token": "lin_r_2"}


def test_a_new_grant_starts_a_new_life(api, account):
    grant = make_credential(account, make_linear_body(make_app(account)))
    Credential.objects.filter(id=grant.id).update(refresh_state="needs_reauth", refresh_failures=3)
    rotate(api, grant, access_token="lin_2", refresh_token="lin_r_2")
    after = again(grant)
    assert (after.refresh_state, after.refresh_failures) == ("active", 0)
    assert after.generation == grant.generation + 1
    assert after.refresh_next_at is not None


def test_a_grant_of_another_upstream_account_is_another_credential(api, account):
    grant = make_credential(account, make_linear_body(make_app(account)))
    answer = rotate(api, grant, 422, access_token="lin_2", linear_org_id="org-2")
    assert "properties.linear_org_id" in answer.json()["validation_errors"]
    rotate(api, grant, access_token="lin_2", linear_org_id="org-1")


def test_a_keys_id_may_change_with_the_key(api, account):
    old = dict(get_registry().kinds["twilio_key"].example)
    new_sid = old["key_sid"][:-1] + ("1" if old["key_sid"][-1] != "1" else "2")
    row = make_credential(account, {"properties": old})
    assert rotate(api, row, key="k2", key_sid=new_sid).json()["properties"]["key_sid"] == new_sid
    answer = api.post("/v1/credentials", {"properties": old})
    assert (answer.json()["id"], answer["Latchkey-Import"]) == (str(row.id), "unchanged")
    assert answer.json()["properties"]["key_sid"] == new_sid


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
def test_what_is_no_new_secret_is_refused(api, row, body):
    assert api.post(f"/v1/credentials/{row.id}/rotate", body).status_code == 422
    assert secrets(row) == {"secret": "sk_1"}


def test_what_holds_no_secret_cannot_be_rotated(api, account):
    properties = dict(get_registry().kinds["github_app"].example)
    app = make_app(account, "github")
    row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    answer = rotate(api, row, 409, installation_id=properties["installation_id"])
    assert "have no secret to rotate" in answer.json()["detail"]
    assert again(row).revision == 1


def kinds() -> list[str]:
    every = get_registry().kinds.values()
    return sorted(
        {k.name for k in every if set(k.secret_fields) & set(k.example) and k.provider != "custom"}
    )


@pytest.mark.parametrize("name", kinds())
def test_every_kind_is_rotated_and_still_found_by_its_former_body(api, account, name):
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
    assert {field: secrets(row)[field] for field in held} == new
    answer = api.post("/v1/credentials", body)
    assert (answer.json()["id"], answer["Latchkey-Import"]) == (str(row.id), "unchanged")
    assert {field: secrets(row)[field] for field in held} == new


def other_secret(kind: Kind, field: str) -> Any:
    value = kind.example[field]
    return value[:-1] + ("1" if value[-1] != "1" else "2")
