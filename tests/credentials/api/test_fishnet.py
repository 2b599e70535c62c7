"""/api/credentials: the bare list of the other documented API."""

from __future__ import annotations

import pytest
from django.utils import timezone

from credentials.models import Credential, CredentialUse
from providers.services import custom_provider_create
from tests.factories import make_app, make_credential, make_linear_body

KEY = {"service": "openai", "name": "primary", "key": "sk-proj-canary"}


def test_a_posted_key_answers_with_its_metadata_alone(api):
    answer = api.post("/api/credentials", KEY)
    assert answer.status_code == 201
    shown = answer.json()
    assert set(shown) == {"id", "service", "name", "created_at", "last_used_at"}
    assert (shown["service"], shown["name"], shown["last_used_at"]) == ("openai", "primary", None)
    assert isinstance(shown["created_at"], int)
    assert b"canary" not in answer.content


def test_a_posted_key_is_a_credential_of_the_other_api_too(api):
    id = api.post("/api/credentials", KEY).json()["id"]
    assert api.get(f"/v1/credentials/{id}").json()["kind"] == "openai_key"


def test_the_same_key_again_is_the_same_row_renamed(api):
    first = api.post("/api/credentials", KEY).json()
    again = api.post("/api/credentials", {**KEY, "name": "renamed"}).json()
    assert again == {**first, "name": "renamed"}
    assert Credential.objects.count() == 1


def test_the_list_is_a_bare_array_newest_first(api):
    for n in range(3):
        api.post("/api/credentials", {**KEY, "name": f"n{n}", "key": f"k{n}"})
    assert [row["name"] for row in api.get("/api/credentials").json()] == ["n2", "n1", "n0"]


def test_the_list_has_a_limit_and_a_link(api):
    for n in range(3):
        api.post("/api/credentials", {**KEY, "name": f"n{n}", "key": f"k{n}"})
    answer = api.get("/api/credentials?limit=2")
    assert len(answer.json()) == 2
    rest = answer["Link"].split(">")[0].removeprefix("<http://testserver")
    assert [row["name"] for row in api.get(rest).json()] == ["n0"]


def test_the_list_has_all_kinds_under_their_provider(api, account):
    make_credential(account, make_linear_body(make_app(account)))
    assert [row["service"] for row in api.get("/api/credentials").json()] == ["linear"]


def test_last_use_is_in_unix_seconds(api):
    id = api.post("/api/credentials", KEY).json()["id"]
    used = timezone.now()
    CredentialUse.objects.create(credential_id=id, last_used_at=used)
    assert api.get("/api/credentials").json()[0]["last_used_at"] == int(used.timestamp())


def test_delete_says_so(api):
    id = api.post("/api/credentials", KEY).json()["id"]
    assert api.delete(f"/api/credentials/{id}").json() == {"deleted": True}
    assert api.get("/api/credentials").json() == []


@pytest.mark.parametrize("id", ["01989aa0-0000-7000-8000-000000000000", "zzz"])
def test_an_unknown_id_is_404(api, id):
    answer = api.delete(f"/api/credentials/{id}")
    assert (answer.status_code, answer.json()) == (404, {"error": "credential not found"})


@pytest.mark.parametrize("field", ["service", "name", "key"])
@pytest.mark.parametrize("value", [None, "", "  ", 1, []])
def test_all_three_are_required(api, field, value):
    answer = api.post("/api/credentials", {**KEY, field: value})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("service, name, and key are required")


@pytest.mark.parametrize("service", ["nope", "salesforce", "custom.nope", "custom"])
def test_an_unknown_service_is_400(api, service):
    answer = api.post("/api/credentials", {**KEY, "service": service})
    assert answer.status_code == 400
    assert "unknown service" in answer.json()["error"]


def test_a_custom_service_has_a_name(api):
    answer = api.post("/api/credentials", {**KEY, "service": "custom."})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_a_registered_custom_service_takes_keys(api, account):
    custom_provider_create(account_id=account.id, name="github", base_url="https://api.example.com")
    shown = api.post("/api/credentials", {**KEY, "service": "custom.github"}).json()
    assert shown["service"] == "custom.github"
    assert (
        api.get("/v1/credentials?provider=custom.github").json()["data"][0]["kind"] == "custom_key"
    )


def test_both_binance_parts_are_kept_apart(api):
    for name in ("api_key", "api_secret"):
        body = {"service": "binance", "name": name, "key": "same-value"}
        assert api.post("/api/credentials", body).status_code == 201
    assert Credential.objects.count() == 2


def test_a_binance_part_has_one_of_two_names(api):
    answer = api.post("/api/credentials", {"service": "binance", "name": "other", "key": "k"})
    assert answer.status_code == 400
