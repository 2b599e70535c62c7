"""Secrets as they enter: debris is removed and reported, and a placeholder replaces nothing."""

from __future__ import annotations

import json

import pytest

from credentials.core.encryption import decrypt_secrets
from credentials.models import Credential, CredentialAlias
from tests.factories import keep_debris, make_app, make_linear_body, make_stripe_body

PLACEHOLDERS = ["null", "None", "undefined", "$encrypted$", "\u2022" * 10, "<refresh-token>"]
DEBRIS = ["\n", "\r\n", "\ufeff", "\u200b", "\u00a0", " "]


def read_secrets(id: str) -> dict[str, str]:
    return decrypt_secrets(Credential.objects.get(id=id))


def store_debris(api, body) -> str:
    with keep_debris():
        response = api.post("/v1/credentials", body)
    assert response.status_code == 200, response.content
    return str(response.json()["id"])


@pytest.mark.parametrize("debris", DEBRIS)
def test_three_spellings_of_a_key_are_one_row(api, debris):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()["id"]
    for spelling in (f"sk_live_1{debris}", f"{debris}sk_live_1"):
        again = api.post("/v1/credentials", make_stripe_body(spelling))
        assert (again.json()["id"], again["Latchkey-Import"]) == (id, "unchanged")
    assert read_secrets(id) == {"secret": "sk_live_1"}


def test_the_response_says_what_was_removed(api):
    response = api.post("/v1/credentials", make_stripe_body("\ufeffsk_live_1\n"))
    notice = "properties.secret: removed a byte order mark and line ends"
    assert response["Latchkey-Notice"] == notice


def test_a_clean_secret_has_no_notice(api):
    assert "Latchkey-Notice" not in api.post("/v1/credentials", make_stripe_body("sk_live_1"))


def test_the_report_of_an_import_has_the_notices(api):
    lines = [make_stripe_body("sk_live_1"), make_stripe_body("sk_live_2\n")]
    report = api.post("/v1/credentials/import", lines).json()
    assert report["notices"] == [
        {"line": 2, "notice": "properties.secret: removed line ends"},
    ]


@pytest.mark.parametrize("word", PLACEHOLDERS)
def test_a_placeholder_never_replaces_a_stored_secret(api, account, word):
    app = make_app(account, "linear")
    body = make_linear_body(app, external_id="acme")
    id = api.post("/v1/credentials", body).json()["id"]
    stored = read_secrets(id)
    body["properties"] = {**body["properties"], "refresh_token": word}
    response = api.post("/v1/credentials", body)
    assert response.status_code == 422
    assert list(response.json()["validation_errors"]) == ["properties.refresh_token"]
    assert read_secrets(id) == stored


@pytest.mark.parametrize("word", PLACEHOLDERS)
def test_a_rotation_to_a_placeholder_is_rejected(api, word):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()["id"]
    response = api.post(f"/v1/credentials/{id}/rotate", {"properties": {"secret": word}})
    assert response.status_code == 422
    assert read_secrets(id) == {"secret": "sk_live_1"}


def test_a_new_row_with_a_placeholder_is_stored_with_a_notice(api):
    response = api.post("/v1/credentials", make_stripe_body("undefined"))
    assert response["Latchkey-Notice"] == "properties.secret: looks like a placeholder"


def test_a_rotation_is_cleaned(api):
    id = api.post("/v1/credentials", make_stripe_body("sk_live_1")).json()["id"]
    api.post(f"/v1/credentials/{id}/rotate", {"properties": {"secret": "sk_live_2\r\n"}})
    assert read_secrets(id) == {"secret": "sk_live_2"}


def test_an_inner_line_break_names_its_field(api):
    response = api.post("/v1/credentials", make_stripe_body("sk_live\n1"))
    assert response.status_code == 422
    assert response.json()["validation_errors"] == {
        "properties.secret": ["must not contain the control character U+000A"]
    }


def test_a_row_that_was_stored_with_debris_is_healed_by_the_same_import(api):
    id = store_debris(api, make_stripe_body("sk_live_1\n"))
    again = api.post("/v1/credentials", make_stripe_body("sk_live_1\n"))
    assert (again.json()["id"], again["Latchkey-Import"]) == (id, "updated")
    assert read_secrets(id) == {"secret": "sk_live_1"}


def test_a_healed_row_is_found_by_the_clean_secret(api):
    id = store_debris(api, make_stripe_body("sk_live_1\n"))
    api.post("/v1/credentials", make_stripe_body("sk_live_1\n"))
    for spelling in ("sk_live_1", "sk_live_1\n"):
        again = api.post("/v1/credentials", make_stripe_body(spelling))
        assert (again.json()["id"], again["Latchkey-Import"]) == (id, "unchanged")
    assert CredentialAlias.objects.count() == 1


def test_an_old_file_with_debris_rolls_no_refreshed_token_back(api, account):
    body = make_linear_body(make_app(account, "linear"), external_id="acme")
    body["properties"]["refresh_token"] += "\n"
    id = store_debris(api, body)
    row = Credential.objects.get(id=id)
    imported = row.fingerprints["refresh_token"][1]
    # As a refresh leaves it that has brought another refresh token.
    Credential.objects.filter(id=id).update(
        fingerprints={**row.fingerprints, "refresh_token": ["of a refresh", imported]}
    )
    again = api.post("/v1/credentials", json.loads(json.dumps(body)))
    assert (again.json()["id"], again["Latchkey-Import"]) == (id, "unchanged")
