"""A 401 of a credential that refreshes: once more with a new token, and then the 401."""

from __future__ import annotations

import pytest

from credentials.health.models import HealthChange
from egress import Client
from tests.credentials.proxy.conftest import Caller
from tests.factories import make_token

FUTURE = "2027-01-01T00:00:00Z"


@pytest.fixture
def user(account, provider):
    client = Client(allow=frozenset({("127.0.0.1", provider.port)}))
    yield Caller(client, make_token(account))
    client.close()


def test_expired_token_is_refreshed_first(user, grant, provider):
    row = grant()
    assert user.get(f"/v1/proxy/credential/{row.id}/me").status == 200
    assert len(provider.calls) == 1


def test_401_is_retried_with_a_new_token(user, grant, provider):
    row = grant(access_token="ended_early_0123456789", expires_at=FUTURE)
    assert user.get(f"/v1/proxy/credential/{row.id}/me").status == 200
    assert len(provider.calls) == 1


def test_remaining_401_is_returned_and_limits_refreshes(user, grant, provider):
    row = grant(expires_at=FUTURE)
    provider.grants.is_alive = lambda token: False
    statuses = [user.get(f"/v1/proxy/credential/{row.id}/me").status for _ in range(3)]
    assert statuses == [401, 401, 401]
    assert len(provider.calls) == 1


@pytest.mark.parametrize("mode", ["503_before", "invalid_client"])
def test_401_forces_no_refresh_during_a_backoff(user, grant, provider, mode):
    row = grant(expires_at=FUTURE)
    provider.grants.is_alive = lambda token: False
    provider.mode = mode
    statuses = [user.get(f"/v1/proxy/credential/{row.id}/me").status for _ in range(4)]
    assert statuses == [401] * 4
    assert len(provider.calls) == 1


def test_streamed_body_is_not_sent_again(user, grant, provider):
    row = grant(access_token="ended_early_0123456789", expires_at=FUTURE)
    response = user.send("GET", f"/v1/proxy/credential/{row.id}/me", b"x", chunked=True)
    assert response.status == 401
    assert provider.calls == []


def test_needs_reauth_is_409(user, grant, provider):
    row = grant()
    provider.mode = "invalid_grant"
    response = user.get(f"/v1/proxy/credential/{row.id}/me")
    assert (response.status, response.json()["code"]) == (409, "needs_reauth")


def test_silent_token_server_is_503(user, grant, provider):
    row = grant()
    provider.mode = "503_before"
    response = user.get(f"/v1/proxy/credential/{row.id}/me")
    assert response.status == 503
    assert response.header("Retry-After")


def test_401_of_a_key_is_evidence(caller, path, row):
    assert caller.get(f"{path}/status?code=401").status == 401
    row.refresh_from_db()
    assert any("401" in note for note in row.health["notes"])
    assert HealthChange.objects.filter(target_id=row.id).count() <= 1
