"""Fifty concurrent callers when the provider no longer accepts the token."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from credentials.models import Credential
from events.models import Event
from tests.credentials.proxy.server_process import ServerProcess
from tests.factories import make_token

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="one writer at a time, on SQLite"),
    pytest.mark.processes,
]

CALLERS = 50
SendAll = Callable[[Credential], list[tuple[int, Any]]]


@pytest.fixture
def send_all(provider: Any, settings: Any, account: Any) -> Iterator[SendAll]:
    """Send the requests of all callers concurrently, and return their responses."""
    token = make_token(account)
    with ServerProcess(settings, str(connection.settings_dict["NAME"])) as server:

        def send(path: str) -> tuple[int, Any]:
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            client.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = client.getresponse()
            result = response.status, json.loads(response.read())
            client.close()
            return result

        def send_concurrently(row: Credential) -> list[tuple[int, Any]]:
            with ThreadPoolExecutor(CALLERS) as pool:
                return list(pool.map(send, [f"/v1/proxy/credential/{row.id}/me"] * CALLERS))

        yield send_concurrently


@pytest.fixture
def revoked_grant(grant: Callable[..., Credential]) -> Credential:
    """A token that is not near its expiry, and that its provider does not know."""
    return grant(access_token="ended_early_0123456789", expires_at="2099-01-01T00:00:00Z")


def test_concurrent_401s_share_one_refresh(send_all, revoked_grant, provider):
    provider.delay = 0.3
    assert Counter(status for status, _ in send_all(revoked_grant)) == {200: CALLERS}
    assert len(provider.calls) == 1
    assert Event.objects.filter(verb="credential.used").count() == CALLERS


def test_remaining_401_reaches_all_callers_after_one_refresh(send_all, revoked_grant, provider):
    provider.delay = 0.3
    provider.grants.is_alive = lambda token: False
    for _ in range(2):
        assert Counter(status for status, _ in send_all(revoked_grant)) == {401: CALLERS}
    assert len(provider.calls) == 1


def test_lost_grant_is_recorded_once_and_reported_to_all(send_all, revoked_grant, provider):
    provider.delay = 0.3
    provider.mode = "invalid_grant"
    # Who had a 401 already has that; who came later is told what to do.
    assert {status for status, _ in send_all(revoked_grant)} <= {401, 409}
    assert {(status, body.get("code")) for status, body in send_all(revoked_grant)} == {
        (409, "needs_reauth")
    }
    assert len(provider.calls) == 1
    assert Event.objects.filter(verb="credential.needs_reauth").count() == 1
    revoked_grant.refresh_from_db()
    assert revoked_grant.health["status"] == "error"
