"""Grants show that their provider's circuit is open, although no request is sent for them."""

from __future__ import annotations

import pytest

from common.errors import ServiceUnavailableError
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from credentials.refresh import attempt, get_fresh_token
from credentials.refresh.circuit_breaker import CircuitBreaker
from tests.factories import TESTER

pytestmark = pytest.mark.django_db


def request_token(row: Credential) -> ServiceUnavailableError:
    with pytest.raises(ServiceUnavailableError) as caught:
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    return caught.value


def breaker() -> CircuitBreaker:
    """Return the circuit breaker of the test, which the fixture `provider` has put there."""
    found: CircuitBreaker = vars(attempt)["circuit_breaker"]
    return found


@pytest.fixture
def open_circuit(provider):
    for _ in range(10):
        breaker().record_failure(f"host:127.0.0.1:{provider.port}")


def test_a_grant_that_was_never_refreshed_shows_it(open_circuit, provider, grant, api):
    row = grant()
    assert request_token(row).extra["code"] == "provider_unavailable"
    assert provider.calls == []
    document = api.get(f"/v1/credentials/{row.id}").json()
    assert document["health"]["status"] == "warn"
    assert "did not respond" in document["health"]["notes"][0]
    assert document["refresh"]["error"] == "circuit_open"
    assert document["refresh"]["state"] == "due"


def test_callers_wait_for_the_end_of_the_rest(open_circuit, grant):
    row = grant()
    assert 20 <= (request_token(row).retry_after or 0) <= 30
    before = Credential.objects.select_related("grant").get(id=row.id)
    assert 20 <= (request_token(row).retry_after or 0) <= 30
    after = Credential.objects.get(id=row.id)
    # The second caller writes nothing.
    stored = get_grant(after)
    assert (after.health, stored.next_at) == (before.health, get_grant(before).next_at)
    assert (stored.unknowns, stored.lease_owner) == (0, "")


def test_the_next_success_clears_it(open_circuit, provider, grant, monkeypatch):
    row = grant()
    request_token(row)
    breaker().record_response(f"host:127.0.0.1:{provider.port}")
    breaker()._circuits.clear()
    Grant.objects.filter(credentials=row.id).update(next_at=None)
    get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert (stored.error, stored.failures, after.health["status"]) == ("", 0, "ok")


def test_two_ports_of_one_machine_have_two_circuits(provider, grant):
    for _ in range(10):
        breaker().record_failure("host:127.0.0.1:1")
    row = grant()
    get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    assert len(provider.calls) == 1


def test_a_failed_first_refresh_is_visible(provider, grant, api):
    provider.mode = "reset_before"
    row = grant()
    request_token(row)
    document = api.get(f"/v1/credentials/{row.id}").json()
    assert document["health"]["status"] == "warn"
    assert document["health"]["notes"]
    assert document["refresh"]["error"] == "connection_lost"
    assert document["refresh"]["state"] in {"in_doubt", "due"}
