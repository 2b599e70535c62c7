"""/api/credentials: the bare list of the other documented API."""

from __future__ import annotations

import pytest
from django.utils import timezone

from credentials.models import Credential, CredentialUse
from providers.services import custom_provider_create
from tests.factories import make_app, make_credential, make_linear_body

KEY = {"service": "openai", "name": "primary", "key": "sk-proj-canary"}


def test_post_returns_metadata_only(api):
    response = api.post("/api/credentials", KEY)
    assert response.status_code == 201
    shown = response.json()
    assert set(shown) == {"id", "service", "name", "created_at", "last_used_at"}
    assert (shown["service"], shown["name"], shown["last_used_at"]) == ("openai", "primary", None)
    assert isinstance(shown["created_at"], int)
    assert b"canary" not in response.content


def test_posted_key_is_a_credential_of_the_other_api(api):
    id = api.post("/api/credentials", KEY).json()["id"]
    assert api.get(f"/v1/credentials/{id}").json()["kind"] == "openai_key"


def test_posting_the_same_key_renames_the_row(api):
    first = api.post("/api/credentials", KEY).json()
    again = api.post("/api/credentials", {**KEY, "name": "renamed"}).json()
    assert again == {**first, "name": "renamed"}
    assert Credential.objects.count() == 1


def test_list_is_a_bare_array_newest_first(api):
    for n in range(3):
        api.post("/api/credentials", {**KEY, "name": f"n{n}", "key": f"k{n}"})
    assert [row["name"] for row in api.get("/api/credentials").json()] == ["n2", "n1", "n0"]


def test_list_has_a_limit_and_a_link(api):
    for n in range(3):
        api.post("/api/credentials", {**KEY, "name": f"n{n}", "key": f"k{n}"})
    response = api.get("/api/credentials?limit=2")
    assert len(response.json()) == 2
    rest = response["Link"].split(">")[0].removeprefix("<http://testserver")
    assert [row["name"] for row in api.get(rest).json()] == ["n0"]


def test_list_names_the_provider_of_each_kind(api, account):
    make_credential(account, make_linear_body(make_app(account)))
    assert [row["service"] for row in api.get("/api/credentials").json()] == ["linear"]


def test_last_use_is_a_unix_timestamp(api):
    id = api.post("/api/credentials", KEY).json()["id"]
    used = timezone.now()
    CredentialUse.objects.create(credential_id=id, last_used_at=used)
    assert api.get("/api/credentials").json()[0]["last_used_at"] == int(used.timestamp())


def test_delete_returns_deleted(api):
    id = api.post("/api/credentials", KEY).json()["id"]
    assert api.delete(f"/api/credentials/{id}").json() == {"deleted": True}
    assert api.get("/api/credentials").json() == []


@pytest.mark.parametrize("id", ["01989aa0-0000-7000-8000-000000000000", "zzz"])
def test_delete_of_an_unknown_id_is_404(api, id):
    response = api.delete(f"/api/credentials/{id}")
    assert (response.status_code, response.json()) == (404, {"error": "credential not found"})


@pytest.mark.parametrize("field", ["service", "name", "key"])
@pytest.mark.parametrize("value", [None, "", "  ", 1, []])
def test_post_requires_all_three_fields(api, field, value):
    response = api.post("/api/credentials", {**KEY, field: value})
    assert response.status_code == 400
    assert response.json()["error"].startswith("service, name, and key are required")


@pytest.mark.parametrize("service", ["nope", "salesforce", "custom.nope", "custom"])
def test_post_rejects_an_unknown_service(api, service):
    response = api.post("/api/credentials", {**KEY, "service": service})
    assert response.status_code == 400
    assert "unknown service" in response.json()["error"]


def test_post_rejects_custom_without_a_name(api):
    response = api.post("/api/credentials", {**KEY, "service": "custom."})
    assert (response.status_code, list(response.json())) == (400, ["error"])


def test_post_accepts_a_registered_custom_provider(api, account):
    custom_provider_create(account_id=account.id, name="github", base_url="https://api.example.com")
    shown = api.post("/api/credentials", {**KEY, "service": "custom.github"}).json()
    assert shown["service"] == "custom.github"
    assert (
        api.get("/v1/credentials?provider=custom.github").json()["data"][0]["kind"] == "custom_key"
    )


def test_both_parts_of_a_binance_key_are_stored(api):
    for name in ("api_key", "api_secret"):
        body = {"service": "binance", "name": name, "key": "same-value"}
        assert api.post("/api/credentials", body).status_code == 201
    assert Credential.objects.count() == 2


def test_binance_part_has_one_of_two_names(api):
    response = api.post("/api/credentials", {"service": "binance", "name": "other", "key": "k"})
    assert response.status_code == 400
