"""PATCH and DELETE of one credential."""

from __future__ import annotations

import pytest

from credentials.models import Credential, Revocation
from events.models import Event
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body
from vault.sealing import Place, SealedValue, unseal

MERGE = {"content_type": "application/merge-patch+json"}


@pytest.fixture
def row(account) -> Credential:
    return make_credential(
        account, make_stripe_body("sk_1", name="Old", metadata={"a": {"b": 1}, "c": 2})
    )


@pytest.fixture
def path(row) -> str:
    return f"/v1/credentials/{row.id}"


def test_patch_changes_the_name(api, path):
    response = api.patch(path, {"name": "New"})
    assert response.status_code == 200
    assert response.json()["name"] == "New"


def test_patch_replaces_metadata(api, path):
    assert api.patch(path, {"metadata": {"x": 1}}).json()["metadata"] == {"x": 1}


def test_merge_patch_merges_metadata(api, path):
    body = {"metadata": {"a": {"d": 3}, "c": None}}
    assert api.patch(path, body, **MERGE).json()["metadata"] == {"a": {"b": 1, "d": 3}}


def test_merge_patch_removes_null(api, path):
    shown = api.patch(path, {"name": None, "owner_email": None}, **MERGE).json()
    assert (shown["name"], shown["owner_email"]) == ("Choam Stripe", None)


def test_merge_patch_rejects_metadata_over_the_limits(api, path):
    body = {"metadata": {f"k{n}": n for n in range(49)}}
    assert api.patch(path, body, **MERGE).status_code == 422


def test_patch_without_a_change_writes_nothing(api, path, row):
    before = api.get(path)
    for body in ({}, {"name": "Old"}, {"metadata": {"a": {"b": 1}, "c": 2}}):
        response = api.patch(path, body)
        assert response.json() == before.json()
        assert response["ETag"] == before["ETag"]
    assert not Event.objects.filter(target_id=row.id, verb="credential.updated").exists()


def test_event_names_the_changed_fields(api, path, row):
    api.patch(path, {"name": "New", "metadata": {"a": {"b": 1}, "c": 2}})
    event = Event.objects.get(target_id=row.id, verb="credential.updated")
    assert event.changed == ["name"]
    assert event.actor.startswith("token:")
    assert event.ip == "127.0.0.1"


@pytest.mark.parametrize(
    "body",
    [
        {"properties": {"secret": "new"}},
        {"oauth_app_id": None},
        {"kind": "stripe_key"},
        {"external_id": "x"},
        {"name": None},
        {"name": ""},
        {"name": 1},
        {"metadata": None},
        {"metadata": []},
        {"owner_email": "nobody"},
    ],
)
def test_patch_rejects_other_fields(api, path, row, body):
    assert api.patch(path, {"name": "New", **body}).status_code == 422
    assert Credential.objects.get(id=row.id).revision == 1


def test_patch_rejects_an_old_etag(api, path):
    seen = api.get(path)["ETag"]
    assert api.patch(path, {"name": "A"}, headers={"If-Match": seen}).status_code == 200
    assert api.patch(path, {"name": "B"}, headers={"If-Match": seen}).status_code == 412
    assert api.delete(path, headers={"If-Match": seen}).status_code == 412
    assert api.get(path).json()["name"] == "A"


@pytest.mark.parametrize("tags", ["*", '"0", "1"'])
def test_patch_accepts_a_matching_etag(api, path, tags):
    assert api.patch(path, {"name": "A"}, headers={"If-Match": tags}).status_code == 200


def test_delete_removes_the_row(api, path, row):
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.delete(path).status_code == 404
    assert Event.objects.filter(target_id=row.id, verb="credential.deleted").count() == 1


def test_delete_enqueues_a_revocation(api, account):
    row = make_credential(account, make_linear_body(make_app(account)))
    api.delete(f"/v1/credentials/{row.id}")
    note = Revocation.objects.get(credential_id=row.id)
    assert note.sealed is not None
    assert unseal(Place.of(note, "sealed"), note.sealed)["refresh_token"] == "lin_refresh_first"


def test_delete_keeps_no_secret_that_cannot_be_revoked(api, path, row):
    api.delete(path)
    assert Revocation.objects.get(credential_id=row.id).sealed is None


def test_delete_of_a_row_that_cannot_be_decrypted(api, account):
    row = make_credential(account, make_linear_body(make_app(account)))
    Credential.objects.filter(id=row.id).update(secrets=SealedValue(b"garbage"))
    assert api.delete(f"/v1/credentials/{row.id}").status_code == 204


def test_import_after_delete_creates_a_credential(api, path):
    api.delete(path)
    response = api.post("/v1/credentials", make_stripe_body("sk_1"))
    assert response["Latchkey-Import"] == "created"


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_values_that_are_equal_in_python_only_are_a_change(api, account, old, new):
    row = make_credential(account, make_stripe_body(metadata={"f": old}))
    shown = api.patch(f"/v1/credentials/{row.id}", {"metadata": {"f": new}})
    assert repr(shown.json()["metadata"]["f"]) == repr(new)
    assert shown["ETag"] == '"2"'
