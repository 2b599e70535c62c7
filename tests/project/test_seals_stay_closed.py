"""Lists, reads and PATCH decrypt nothing: a row that cannot be decrypted breaks only its own use."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from credentials.models import Credential
from oauth_apps.models import OAuthAppSecret
from tests.api import ApiClient
from tests.factories import make_app, make_credential, make_linear_body
from tests.project.routes import list_routes, make_app_body
from tests.project.world import World
from vault import sealing
from vault.sealing import SealedValue

READS = [
    "/v1/credentials",
    "/v1/credentials?limit=1",
    "/v1/credentials?provider=linear",
    "/v1/credentials?kind=linear_oauth2",
    "/v1/credentials?health.status=unknown",
    "/v1/credentials?metadata=%7B%22a%22%3A1%7D",
    "/v1/credentials?oauth_app_id=$LINEAR",
    "/v1/credentials?expiring_before=2100-01-01T00:00:00Z",
    "/v1/credentials?created_after=2000-01-01T00:00:00Z&created_before=2100-01-01T00:00:00Z",
    "/v1/credentials/export",
    "/v1/credentials/$ID",
    "/v1/credentials/$ID/health-changes",
    "/v1/credentials/$ID/policy",
    "/v1/oauth-apps",
    "/v1/oauth-apps?provider=linear",
    "/v1/oauth-apps?truncate_secrets=true",
    "/v1/oauth-apps?metadata=%7B%7D",
    "/v1/oauth-apps/$APP",
    "/v1/events",
    "/v1/events?verb=credential.created",
    "/v1/webhook-endpoints",
    "/v1/webhook-endpoints/$ENDPOINT",
    "/v1/webhook-endpoints/$ENDPOINT/deliveries",
    "/v1/connect-links",
    "/v1/connect-links?status=open",
    "/v1/connect-links/$LINK",
    "/v1/connect-settings",
    "/v1/oauth-apps/$APP/connect-settings",
    "/v1/providers",
    "/v1/providers/stripe",
    "/api/credentials",
    "/api/credentials?limit=1",
    "/api/auth/status",
    "/openapi.json",
    "/healthz",
]
MERGE = "application/merge-patch+json"


class DecryptedError(BaseException):
    """Raised by a decryption. As a BaseException, no handler catches it."""


@pytest.fixture
def world(db) -> World:
    """Return a world whose ciphertexts are damaged."""
    world = World()
    app = make_app(world.account)
    make_credential(world.account, make_linear_body(app, metadata={"a": 1}))
    world.named["LINEAR"] = lambda: str(app.id)
    world.create_rows()
    Credential.objects.update(secrets=SealedValue(b"\x00damaged"))
    OAuthAppSecret.objects.update(sealed=SealedValue(b"\x00damaged"))
    return world


@pytest.fixture
def sealed_world(world: World, monkeypatch) -> World:
    """Return the same world, in which any decryption raises DecryptedError."""
    world.token  # noqa: B018 - created before
    unseal = sealing.unseal

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DecryptedError

    # Many modules imported the function by its name.
    patched = 0
    for module in list(sys.modules.values()):
        if vars(module).get("unseal") is unseal:
            monkeypatch.setattr(module, "unseal", fail)
            patched += 1
    assert patched >= 5
    # The index key and the key of cursors are the vault's own, and were decrypted at the start.
    monkeypatch.setattr("vault.services._known_index_key", b"k" * 32)
    return world


@pytest.mark.parametrize("path", READS)
def test_a_read_decrypts_nothing(sealed_world, path):
    response = ApiClient(sealed_world.token).get(sealed_world.substitute(path))
    assert response.status_code == 200
    # An export is made while it is read.
    assert b"".join(response) != b""


def test_every_route_that_reads_is_listed():
    read = {re.sub(r"\$[A-Z]+", "{pk}", path.partition("?")[0]) for path in READS}
    read |= {"/v1/providers/{slug}", "/v1/webhook-endpoints/{endpoint_id}/deliveries"}
    assert {route.path for route in list_routes() if route.method == "GET"} <= read


def test_a_next_page_decrypts_nothing(sealed_world):
    api = ApiClient(sealed_world.token)
    cursor = api.get("/v1/credentials?limit=1").json()["next_cursor"]
    assert len(api.get(f"/v1/credentials?limit=1&cursor={cursor}").json()["data"]) == 1


@pytest.mark.parametrize("kind", ["application/json", MERGE])
@pytest.mark.parametrize("body", [{"name": "x"}, {"metadata": {"b": 2}}, {"owner_email": "a@b.cd"}])
def test_patch_of_a_credential_decrypts_nothing(sealed_world, kind, body):
    path = sealed_world.substitute("/v1/credentials/$ID")
    assert ApiClient(sealed_world.token).patch(path, body, content_type=kind).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"metadata": {"b": 2}},
        {"scopes": ["read"]},
        {"redirect_uris": ["https://a.example/cb"]},
        {"client_secret": "the next"},
        {"client_secret": "the next", "drop_old_secret": True},
        {"drop_old_secret": True},
    ],
)
def test_patch_of_an_app_decrypts_nothing(sealed_world, body):
    assert (
        ApiClient(sealed_world.token)
        .patch(sealed_world.substitute("/v1/oauth-apps/$APP"), body)
        .status_code
        == 200
    )


def test_a_new_app_decrypts_nothing(sealed_world):
    assert ApiClient(sealed_world.token).post("/v1/oauth-apps", make_app_body()).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/credentials/$ID", "/v1/oauth-apps/$APP", "/api/credentials/$ID"]
)
def test_a_row_that_cannot_be_decrypted_can_be_deleted(world, path):
    assert ApiClient(world.token).delete(world.substitute(path)).status_code in {200, 204}


def test_truncate_secrets_false_decrypts(sealed_world):
    with pytest.raises(DecryptedError):
        ApiClient(sealed_world.token).get(
            sealed_world.substitute("/v1/oauth-apps/$APP?truncate_secrets=false")
        )


def test_a_secret_that_cannot_be_decrypted_stays_masked(world):
    response = ApiClient(world.token).get(
        world.substitute("/v1/oauth-apps/$APP?truncate_secrets=false")
    )
    assert response.status_code == 200
    assert response.json()["client_secret"] == "**********"
