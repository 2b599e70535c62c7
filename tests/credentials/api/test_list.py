"""GET /v1/credentials: pages and filters."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from credentials.models import Credential
from tests.api import ApiClient
from tests.factories import (
    get_names,
    make_app,
    make_credential,
    make_linear_body,
    make_stripe_body,
    make_token,
)


@pytest.fixture
def five(account) -> list[Credential]:
    return [make_credential(account, make_stripe_body(name=f"n{n}")) for n in range(5)]


def list_ids(api: ApiClient, query: str = "") -> list[str]:
    response = api.get(f"/v1/credentials{query}")
    assert response.status_code == 200, response.content
    return get_names(response.json()["data"])


def test_list_is_newest_first(api, five):
    assert list_ids(api) == ["n4", "n3", "n2", "n1", "n0"]


def test_list_without_credentials_is_empty(api):
    assert api.get("/v1/credentials").json() == {"data": [], "next_cursor": None}


def test_pages_have_no_gap_and_no_repeat(api, five):
    seen, query = [], "?limit=2"
    while query:
        page = api.get(f"/v1/credentials{query}").json()
        seen += get_names(page["data"])
        query = page["next_cursor"] and f"?limit=2&cursor={quote(page['next_cursor'])}"
    assert seen == ["n4", "n3", "n2", "n1", "n0"]


def test_row_added_between_pages_repeats_nothing(api, account, five):
    first = api.get("/v1/credentials?limit=2").json()
    make_credential(account, make_stripe_body(name="new"))
    assert list_ids(api, f"?limit=9&cursor={quote(first['next_cursor'])}") == ["n2", "n1", "n0"]


def test_next_page_is_linked(api, five):
    response = api.get("/v1/credentials?limit=2&provider=stripe")
    cursor = quote(response.json()["next_cursor"])
    link = f'<http://testserver/v1/credentials?limit=2&provider=stripe&cursor={cursor}>; rel="next"'
    assert response["Link"] == link


def test_last_page_has_no_link(api, five):
    assert "Link" not in api.get("/v1/credentials?limit=5")


def test_cursor_is_bound_to_its_filters(api, five):
    cursor = api.get("/v1/credentials?limit=2").json()["next_cursor"]
    response = api.get(f"/v1/credentials?provider=stripe&cursor={quote(cursor)}")
    assert response.status_code == 400
    assert "cursor" in response.json()["validation_errors"]


def test_cursor_is_bound_to_its_account(api, other_api, five):
    cursor = api.get("/v1/credentials?limit=2").json()["next_cursor"]
    assert other_api.get(f"/v1/credentials?cursor={quote(cursor)}").status_code == 400


@pytest.mark.parametrize("limit", ["0", "201", "-1", "abc", "1.0", "٢", "+5", "05"])
def test_invalid_limit_is_400(api, limit):
    assert api.get(f"/v1/credentials?limit={quote(limit)}").status_code == 400


def test_filter_by_provider_and_kind(api, account):
    make_credential(account, make_stripe_body(name="s"))
    make_credential(account, make_linear_body(make_app(account), name="l"))
    assert list_ids(api, "?provider=linear") == ["l"]
    assert list_ids(api, "?kind=stripe_key") == ["s"]
    assert list_ids(api, "?kind=stripe_key&provider=linear") == []


def test_filter_by_an_alias_of_a_kind(api, account):
    properties = {"kind": "github_app", "installation_id": 1}
    app = make_app(account, "github")
    make_credential(account, {"properties": properties, "name": "g", "oauth_app_id": str(app.id)})
    assert list_ids(api, "?kind=github") == ["g"]


def test_filter_by_an_unknown_provider_or_kind_is_empty(api, five):
    assert list_ids(api, "?provider=nope") == list_ids(api, "?kind=nope") == []


def test_filter_by_health(api, five):
    Credential.objects.filter(name="n3").update(health={"status": "error", "notes": [], "time": ""})
    assert list_ids(api, "?health.status=error") == ["n3"]
    assert len(list_ids(api, "?health.status=unknown")) == 4


@pytest.mark.parametrize(
    "query",
    [
        "health.status=broken",
        "helth.status=ok",
        "provider=stripe&provider=linear",
        "provider=",
        "metadata=1",
        "metadata=[]",
        "metadata={",
        'metadata={"a":NaN}',
        'metadata={"a":1,"a":2}',
        "oauth_app_id=1",
        "created_after=yesterday",
        "created_after=2026-01-01T00:00:00",
        "order_by=name",
        "metadata__a=1",
    ],
)
def test_invalid_or_unknown_parameter_is_400(api, five, query):
    response = api.get(f"/v1/credentials?{quote(query, safe='=&')}")
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_filter_by_app(api, account):
    app = make_app(account, "stripe")
    make_credential(account, make_stripe_body(name="with", oauth_app_id=str(app.id)))
    make_credential(account, make_stripe_body(name="without"))
    assert list_ids(api, f"?oauth_app_id={app.id}") == ["with"]


def test_filter_by_creation_time(api, account, five):
    middle = api.get(f"/v1/credentials/{five[2].id}").json()["created_at"]
    assert list_ids(api, f"?created_before={middle}") == ["n1", "n0"]
    assert list_ids(api, f"?created_after={middle}") == ["n4", "n3"]


@pytest.mark.parametrize("year", ["0001", "1970", "9999"])
def test_filter_by_any_datetime(api, five, year):
    found = {"0001": 0, "1970": 0, "9999": 5}[year]
    assert len(list_ids(api, f"?created_before={year}-12-31T23:59:59Z")) == found
    assert len(list_ids(api, f"?created_after={year}-12-31T23:59:59Z")) == 5 - found


def test_filter_finds_rows_of_a_clock_that_is_hours_off(api, account, monkeypatch):
    """An id is made by the application's clock, `created_at` by the database's."""
    for hours in (-12, 12):
        shifted = time.time_ns() + hours * 3600 * 10**9
        monkeypatch.setattr("common.db.ids.time.time_ns", lambda now=shifted: now)
        monkeypatch.setattr("common.db.ids._last", 0)
        make_credential(account)
    monkeypatch.undo()
    assert len(list_ids(api, "?created_after=2026-01-01T00:00:00Z")) == 2
    now = datetime.now(UTC)
    around = [(now + timedelta(minutes=m)).isoformat().replace("+", "%2B") for m in (-5, 5)]
    assert len(list_ids(api, f"?created_after={around[0]}&created_before={around[1]}")) == 2


def test_filter_by_expiry(api, account):
    app = make_app(account)
    soon = {"linear_org_id": "o1", "expires_at": "2026-01-01T01:00:00+01:00"}
    late = {"linear_org_id": "o2", "expires_at": "2027-01-01T00:00:00Z"}
    make_credential(account, make_linear_body(app, name="soon", properties=soon))
    make_credential(account, make_linear_body(app, name="late", properties=late))
    assert list_ids(api, "?expiring_before=2026-06-01T00:00:00Z") == ["soon"]


def test_filter_by_a_time_span(api, account):
    app, now = make_app(account), datetime.now(UTC)
    for days in (3, 30):
        expiry = (now + timedelta(days=days)).isoformat()
        properties = {"linear_org_id": f"o{days}", "expires_at": expiry}
        make_credential(account, make_linear_body(app, name=f"{days}", properties=properties))
    assert list_ids(api, "?expiring_before=1440m") == list_ids(api, "?expiring_before=24h") == []
    assert list_ids(api, "?expiring_before=7d") == ["3"]
    assert list_ids(api, "?expiring_before=31d&created_after=2h") == ["30", "3"]
    assert list_ids(api, "?created_before=2h") == []


@pytest.mark.parametrize("span", ["0d", "7w", "-1d", "7D", "7", "d", "1.5h", "100000d", "%D9%A7d"])
@pytest.mark.parametrize("name", ["expiring_before", "created_after", "created_before"])
def test_an_invalid_time_span_is_rejected(api, name, span):
    response = api.get(f"/v1/credentials?{name}={span}")
    assert response.status_code == 400
    assert "or a time span like 90m, 24h or 7d" in response.json()["validation_errors"][name][0]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"custom_property": 42}, True),
        ({"custom_property": 42.0}, True),
        ({"custom_property": "42"}, False),
        ({"nested": {"deep": [1]}}, True),
        ({"nested": {"deep": [3]}}, False),
        ({"nested": {}}, True),
        ({"gone": None}, True),
        ({"absent": None}, False),
        ({"flag": 1}, False),
        ({}, True),
    ],
)
def test_filter_by_metadata(api, account, wanted, found):
    metadata = {"custom_property": 42, "nested": {"deep": [1, 2]}, "gone": None, "flag": True}
    make_credential(account, make_stripe_body(name="it", metadata=metadata))
    query = quote(json.dumps(wanted))
    assert list_ids(api, f"?metadata={query}") == (["it"] if found else [])


def test_list_has_the_own_account_only(api, other_api, five):
    assert list_ids(other_api) == []


def test_list_requires_the_scope(account, five):
    response = ApiClient(make_token(account, "credentials:write")).get("/v1/credentials")
    assert response.status_code == 403
    assert response.json()["missing_scope"] == "credentials:read"


def test_name_falls_back_to_the_name_in_the_properties(api, account):
    make_credential(account)
    assert list_ids(api) == ["Choam Stripe"]


def test_response_has_the_last_use(api, account, five):
    from django.utils import timezone

    from credentials.models import CredentialUse

    CredentialUse.objects.create(credential=five[4], last_used_at=timezone.now())
    shown = api.get("/v1/credentials").json()["data"]
    assert shown[0]["last_used_at"].endswith("Z")
    assert shown[1]["last_used_at"] is None


def test_response_has_the_refresh_state_of_kinds_that_refresh(api, account):
    app = make_app(account)
    id = make_credential(account, make_linear_body(app)).id
    shown = api.get(f"/v1/credentials/{id}").json()
    due_at = shown["created_at"]  # Nobody said how long its token lives: a refresh tells.
    assert shown["refresh"] == {"state": "due", "last_at": None, "next_at": due_at, "error": None}
