"""A 401 of a credential that can be refreshed: one retry with a new token, then the 401."""

from __future__ import annotations

import pytest

from credentials.health.models import HealthChange
from egress import Client
from tests.credentials.proxy.conftest import Caller
from tests.factories import make_token

FUTURE = "2099-01-01T00:00:00Z"


@pytest.fixture
def grant_caller(account, provider):
    client = Client(allow=frozenset({("127.0.0.1", provider.port)}))
    yield Caller(client, make_token(account))
    client.close()


def test_expired_token_is_refreshed_first(grant_caller, grant, provider):
    row = grant()
    assert grant_caller.get(f"/v1/proxy/credential/{row.id}/me").status == 200
    assert len(provider.calls) == 1


def test_401_is_retried_with_a_new_token(grant_caller, grant, provider):
    row = grant(access_token="ended_early_0123456789", expires_at=FUTURE)
    assert grant_caller.get(f"/v1/proxy/credential/{row.id}/me").status == 200
    assert len(provider.calls) == 1


def test_remaining_401_is_returned_and_limits_refreshes(grant_caller, grant, provider):
    row = grant(expires_at=FUTURE)
    provider.grants.is_alive = lambda token: False
    statuses = [grant_caller.get(f"/v1/proxy/credential/{row.id}/me").status for _ in range(3)]
    assert statuses == [401, 401, 401]
    assert len(provider.calls) == 1


@pytest.mark.parametrize("mode", ["503_before", "invalid_client"])
def test_401_forces_no_refresh_during_a_backoff(grant_caller, grant, provider, mode):
    row = grant(expires_at=FUTURE)
    provider.grants.is_alive = lambda token: False
    provider.mode = mode
    statuses = [grant_caller.get(f"/v1/proxy/credential/{row.id}/me").status for _ in range(4)]
    assert statuses == [401] * 4
    assert len(provider.calls) == 1


def test_streamed_body_is_not_sent_again(grant_caller, grant, provider):
    row = grant(access_token="ended_early_0123456789", expires_at=FUTURE)
    response = grant_caller.send("GET", f"/v1/proxy/credential/{row.id}/me", b"x", chunked=True)
    assert response.status == 401
    assert provider.calls == []


def test_needs_reauth_is_409(grant_caller, grant, provider):
    row = grant()
    provider.mode = "invalid_grant"
    response = grant_caller.get(f"/v1/proxy/credential/{row.id}/me")
    assert (response.status, response.json()["code"]) == (409, "needs_reauth")


def test_silent_token_server_is_503(grant_caller, grant, provider):
    row = grant()
    provider.mode = "503_before"
    response = grant_caller.get(f"/v1/proxy/credential/{row.id}/me")
    assert response.status == 503
    assert response.header("Retry-After")


def test_401_of_a_key_is_evidence(caller, path, row):
    assert caller.get(f"{path}/status?code=401").status == 401
    row.refresh_from_db()
    assert any("401" in note for note in row.health["notes"])
    assert HealthChange.objects.filter(target_id=row.id).count() <= 1
