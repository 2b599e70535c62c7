"""Fifty callers of a running server at the moment at which a provider no longer takes the token."""

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
from tests.credentials.proxy.serving import ServerProcess
from tests.factories import make_token

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="one writer at a time, on SQLite"),
    pytest.mark.processes,
]

CALLERS = 50
Asking = Callable[[Credential], list[tuple[int, Any]]]


@pytest.fixture
def all_ask(provider: Any, settings: Any, account: Any) -> Iterator[Asking]:
    """All callers at once: what each got."""
    token = make_token(account)
    with ServerProcess(settings, str(connection.settings_dict["NAME"])) as served:

        def ask(path: str) -> tuple[int, Any]:
            asked = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
            asked.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = asked.getresponse()
            found = answer.status, json.loads(answer.read())
            asked.close()
            return found

        def together(row: Credential) -> list[tuple[int, Any]]:
            with ThreadPoolExecutor(CALLERS) as pool:
                return list(pool.map(ask, [f"/v1/proxy/credential/{row.id}/me"] * CALLERS))

        yield together


@pytest.fixture
def revoked(grant: Callable[..., Credential]) -> Credential:
    """A token that should live for long, and that its provider does not know."""
    return grant(access_token="ended_early_0123456789", expires_at="2099-01-01T00:00:00Z")


def test_all_get_the_answer_after_one_refresh(all_ask, revoked, provider):
    provider.delay = 0.3
    assert Counter(status for status, _ in all_ask(revoked)) == {200: CALLERS}
    assert len(provider.calls) == 1
    assert Event.objects.filter(verb="credential.used").count() == CALLERS


def test_a_401_that_stays_is_everybodys_after_one_refresh(all_ask, revoked, provider):
    provider.delay = 0.3
    provider.grants.is_alive = lambda token: False
    for _ in range(2):
        assert Counter(status for status, _ in all_ask(revoked)) == {401: CALLERS}
    assert len(provider.calls) == 1


def test_a_grant_that_is_lost_meanwhile_is_said_once_and_to_all(all_ask, revoked, provider):
    provider.delay = 0.3
    provider.mode = "invalid_grant"
    # Who had a 401 already has that; who came later is told what to do.
    assert {status for status, _ in all_ask(revoked)} <= {401, 409}
    assert {(status, body.get("code")) for status, body in all_ask(revoked)} == {
        (409, "needs_reauth")
    }
    assert len(provider.calls) == 1
    assert Event.objects.filter(verb="credential.needs_reauth").count() == 1
    revoked.refresh_from_db()
    assert revoked.health["status"] == "error"
