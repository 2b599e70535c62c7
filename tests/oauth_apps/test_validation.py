"""An OAuth app's config and authorization parameters."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from oauth_apps.models import OAuthApp
from tests.api import ApiClient

pytestmark = pytest.mark.django_db


def create(api: ApiClient, provider: str, **more: Any) -> Any:
    body = {
        "provider": provider,
        "name": "App",
        "client_id": uuid.uuid4().hex,
        "client_secret": "s3cr3t",
        **more,
    }
    return api.post("/v1/oauth-apps", body)


def errors(response: Any) -> dict[str, Any]:
    assert response.status_code in {400, 422}
    return dict(response.json()["validation_errors"])


def test_an_app_has_parameters_of_its_own(api):
    created = create(api, "google", authorize_params={"hd": "arrakis.example.com"})
    assert created.status_code == 200, created.json()
    assert created.json()["authorize_params"] == {"hd": "arrakis.example.com"}
    path = f"/v1/oauth-apps/{created.json()['id']}"
    changed = api.patch(path, {"authorize_params": {"prompt": "consent select_account"}})
    assert changed.json()["authorize_params"] == {"prompt": "consent select_account"}
    assert OAuthApp.objects.get().authorize_params == {"prompt": "consent select_account"}
    assert create(api, "google").json()["authorize_params"] == {}


@pytest.mark.parametrize(
    ("provider", "params", "name"),
    [
        ("google", {"prompt": "none"}, "prompt"),
        ("google", {"hd": "a b"}, "hd"),
        ("google", {"hd": "x" * 300}, "hd"),
        ("google", {"hd": 7}, "hd"),
        ("google", {"access_type": "online"}, "access_type"),
        ("google", {"scope": "drive"}, "scope"),
        ("google", {"state": "x"}, "state"),
        ("google", {"redirect_uri": "https://evil.example"}, "redirect_uri"),
        ("slack", {"user_scope": "a b"}, "user_scope"),
        ("asana", {"prompt": "consent"}, "prompt"),
    ],
)
def test_only_parameters_that_the_file_allows(api, provider, params, name):
    found = errors(create(api, provider, authorize_params=params))
    assert list(found) == [f"authorize_params.{name}"]
    assert not OAuthApp.objects.exists()


def test_slacks_scopes_of_the_user(api):
    scopes = "search:read,chat:write"
    created = create(api, "slack", authorize_params={"user_scope": scopes})
    assert created.json()["authorize_params"] == {"user_scope": scopes}


def test_a_self_hosted_server_is_the_apps(api):
    created = create(api, "gitlab", config={"origin": "https://Git.Example.com/"})
    assert created.json()["config"] == {"origin": "https://git.example.com"}


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("http://git.example.com", "https"),
        ("https://git.example.com:8443", "port"),
        ("https://localhost", "DNS name"),
        ("https://git.internal", "local network"),
        ("https://10.0.0.1", "IP address"),
        ("https://metadata.google.internal", "local network"),
        ("https://u:p@git.example.com", "address of a server"),
    ],
)
def test_an_app_may_not_name_a_server_inside_the_network(api, origin, reason):
    found = errors(create(api, "gitlab", config={"origin": origin}))
    assert reason in found["config.origin"][0]
    assert not OAuthApp.objects.exists()


def test_the_operator_allows_single_servers_inside_the_network(api, settings):
    settings.EGRESS_ALLOW = "127.0.0.1:8929,git.corp:8443"
    for origin in ("http://127.0.0.1:8929", "https://git.corp:8443/git"):
        assert create(api, "gitlab", config={"origin": origin}).status_code == 200
    other = create(api, "gitlab", config={"origin": "http://127.0.0.1:8930"})
    assert list(errors(other)) == ["config.origin"]
