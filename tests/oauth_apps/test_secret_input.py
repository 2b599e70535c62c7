"""Client ids and secrets as people paste them, and private keys in every dress."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from oauth_apps.models import OAuthApp
from vault.sealing import Place, unseal

BODY = {"provider": "stripe", "name": "App", "client_id": "ca_1", "client_secret": "sk_1"}


def read_secret(id: str) -> str:
    row = OAuthApp.objects.get(id=id).secrets.order_by("-created_at", "-id")[0]
    return str(unseal(Place.of(row, "sealed"), row.sealed))


def test_debris_is_removed_and_reported(api):
    response = api.post(
        "/v1/oauth-apps", {**BODY, "client_id": "ca_1 ", "client_secret": "\ufeffsk_1\n"}
    )
    assert response.json()["client_id"] == "ca_1"
    assert read_secret(response.json()["id"]) == "sk_1"
    assert response["Latchkey-Notice"] == (
        "client_id: removed white space; client_secret: removed a byte order mark and line ends"
    )


def test_a_placeholder_never_replaces_a_secret(api):
    id = api.post("/v1/oauth-apps", BODY).json()["id"]
    response = api.patch(f"/v1/oauth-apps/{id}", {"client_secret": "$encrypted$"})
    assert response.status_code == 422
    assert list(response.json()["validation_errors"]) == ["client_secret"]
    assert read_secret(id) == "sk_1"


def test_an_inner_control_character_is_rejected(api):
    response = api.post("/v1/oauth-apps", {**BODY, "client_secret": "sk\n1"})
    assert response.status_code == 422


@pytest.fixture(scope="module")
def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_a_private_key_is_stored_in_canonical_form(api, pem):
    body = {**BODY, "provider": "github", "client_secret": pem.replace("\n", "\\n")}
    assert read_secret(api.post("/v1/oauth-apps", body).json()["id"]) == pem


def test_a_password_is_no_private_key(api, monkeypatch):
    monkeypatch.setattr("oauth_apps.validation._takes_secrets", lambda provider: False)
    response = api.post("/v1/oauth-apps", {**BODY, "provider": "github", "client_secret": "p" * 40})
    assert response.status_code == 422
    assert response.json()["validation_errors"] == {
        "client_secret": ["must be a private key in PEM form"]
    }


def test_githubs_users_connect_with_a_secret(api):
    created = api.post("/v1/oauth-apps", {**BODY, "provider": "github", "client_secret": "p" * 40})
    assert read_secret(created.json()["id"]) == "p" * 40


def test_a_private_key_of_github_that_cannot_sign_is_rejected(api):
    broken = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"
    response = api.post("/v1/oauth-apps", {**BODY, "provider": "github", "client_secret": broken})
    assert response.status_code == 422
