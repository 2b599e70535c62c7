"""Custom services: defined by staff for one account, used like any provider."""

from __future__ import annotations

import pytest

from common.errors import InvalidInputError
from credentials.services.custom_providers import custom_provider_create, custom_provider_update
from events.models import Event
from tests.credentials.proxy.conftest import KEY
from tests.factories import TESTER, make_credential


@pytest.fixture
def service(account, upstream):
    def make(**more):
        row = custom_provider_create(
            account_id=account.id,
            actor=TESTER,
            name="weather",
            base_url=f"http://127.0.0.1:{upstream.port}/base",
            **more,
        )
        properties = {"kind": "custom_key", "provider": row.slug, "key": KEY}
        return make_credential(account, {"properties": properties})

    return make


def test_key_is_put_in_the_header_of_the_row(caller, service, upstream):
    row = service(auth_header="X-Weather-Key", prefix="Key ")
    for route in ("/proxy/custom.weather", f"/v1/proxy/credential/{row.id}"):
        assert caller.get(f"{route}/today?x=1").status == 200
    assert {request.target for request in upstream.requests} == {"/base/today?x=1"}
    assert {request.headers["x-weather-key"] for request in upstream.requests} == {f"Key {KEY}"}


def test_token_in_the_header_of_the_service(caller, service, upstream):
    service(auth_header="X-Weather-Key", prefix="Key ")
    own_server = {"X-Weather-Key": f"Key {caller.token}"}
    assert caller.get("/proxy/custom.weather/x", bearer=False, headers=own_server).status == 200
    assert caller.token not in str(upstream.requests[0].headers)


def test_blocked_endpoint_is_403(caller, service, upstream):
    service(blocked_endpoints=["DELETE /v1/*", "* /admin*"])
    assert caller.send("DELETE", "/proxy/custom.weather/v1/x").status == 403
    assert caller.get("/proxy/custom.weather/admin/x").status == 403
    assert caller.get("/proxy/custom.weather/%61dmin").status == 403
    assert caller.get("/proxy/custom.weather/v1/x").status == 200
    assert len(upstream.requests) == 1


def test_rate_of_the_service_is_enforced(caller, service):
    service(rate_limit=1)
    assert caller.get("/proxy/custom.weather/x").status == 200
    refused = caller.get("/proxy/custom.weather/x")
    assert refused.status == 429
    assert set(refused.json()) == {"error", "retry_after_seconds"}


def test_url_is_validated_again_at_each_use(caller, service, upstream):
    service()
    caller.client._allow = frozenset()
    assert caller.get("/proxy/custom.weather/x").status == 502
    assert upstream.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://localhost:{port}/",
        "https://127.0.0.1/",
        "http://user@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/a/../b",
        "http://127.0.0.1:{port}/?x",
    ],
)
def test_url_that_is_not_allowed_is_rejected_when_saved(account, upstream, url):
    with pytest.raises(InvalidInputError):
        custom_provider_create(
            account_id=account.id,
            actor=TESTER,
            name="inside",
            base_url=url.format(port=upstream.port),
        )


def test_writes_record_events(account, service):
    service()
    custom_provider_update(
        account_id=account.id, actor=TESTER, name="weather", prefix="", rate_limit=100
    )
    made, changed = Event.objects.filter(target_type="custom_provider").order_by("id")
    assert (made.verb, made.changed) == ("custom_provider.created", ["base_url", "name"])
    assert (changed.verb, changed.changed) == ("custom_provider.updated", ["prefix"])
