"""The filters by owner, external id, text and state of refreshes."""

from __future__ import annotations

import datetime as dt
import random
from urllib.parse import urlencode

import pytest

from common.db.clock import db_now
from credentials.core import search
from credentials.core.refresh_state import REFRESH_STATES
from credentials.models import AppPause, Credential, Grant
from tests.api import ApiClient
from tests.factories import get_names, make_app, make_credential, make_linear_body, make_stripe_body


def list_names(api: ApiClient, **filters: str) -> list[str]:
    response = api.get(f"/v1/credentials?{urlencode({**filters, 'limit': '200'})}")
    assert response.status_code == 200, response.content
    return get_names(response.json()["data"])


@pytest.fixture
def three(account, other_account) -> None:
    make_credential(account, make_stripe_body(name="first", owner_email="ann@acme.example"))
    make_credential(account, make_stripe_body(name="Ärger_100%", external_id="ext-9"))
    make_credential(account, make_stripe_body(name="third", owner_email="bob@acme.example"))
    body = {"name": "other", "owner_email": "ann@acme.example", "external_id": "ext-9"}
    make_credential(other_account, make_stripe_body(**body))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"owner_email": "ann@acme.example"}, ["first"]),
        ({"owner_email": "ann"}, []),
        ({"owner_email": " "}, []),
        ({"external_id": "ext-9"}, ["Ärger_100%"]),
        ({"external_id": "ext"}, []),
        ({"external_id": "EXT-9"}, []),
        ({"q": "acme"}, ["third", "first"]),
        ({"q": "FIRST"}, ["first"]),
        ({"q": "ext-"}, ["Ärger_100%"]),
        ({"q": "ärger"}, ["Ärger_100%"]),
        ({"q": "ÄRGER_"}, ["Ärger_100%"]),
        ({"q": "%"}, ["Ärger_100%"]),
        ({"q": "_"}, ["Ärger_100%"]),
        ({"q": "f%t"}, []),
        ({"q": "other"}, []),
        ({"q": "\t "}, []),
        ({"q": "acme", "owner_email": "bob@acme.example"}, ["third"]),
    ],
)
def test_text_filters(api, three, filters, expected):
    assert list_names(api, **filters) == expected


@pytest.mark.parametrize("name", ["owner_email", "external_id", "q", "refresh.state"])
def test_an_empty_value_is_rejected(api, name):
    assert api.get(f"/v1/credentials?{name}=").status_code == 400


@pytest.mark.parametrize(("name", "value"), [("q", "a" * 301), ("refresh.state", "stale")])
def test_a_value_that_cannot_match_is_rejected(api, name, value):
    response = api.get(f"/v1/credentials?{name}={value}")
    assert response.status_code == 400
    assert name in response.json()["validation_errors"]


def test_a_search_finds_the_upstream_account_of_this_account_only(
    api, account, other_account, monkeypatch
):
    monkeypatch.setattr(search, "MAX_IDENTITY_MATCHES", 1)
    for owner, name in ((account, "mine"), (other_account, "newer")):
        body = make_linear_body(make_app(owner), properties={"linear_org_id": "org-77"})
        make_credential(owner, {**body, "name": name})
    assert list_names(api, q="org-77") == ["mine"]


def test_the_state_of_refreshes_filters_what_is_shown(api, account):
    """Rows in many states: each filter returns the rows that show its state, and no other."""
    make_credential(account, make_stripe_body(name="is not refreshed"))
    apps = [make_app(account) for _ in range(4)]
    for app, hours in zip(apps, (1, -1), strict=False):
        until = db_now() + dt.timedelta(hours=hours)
        AppPause.objects.create(oauth_app=app, revision=app.revision, until=until, code="x")
    numbers = random.Random(7)  # noqa: S311 - the same rows in each run
    for number in range(80):
        properties = {"linear_org_id": f"org-{number}", "refresh_token": f"refresh-{number}"}
        body = make_linear_body(numbers.choice(apps), properties=properties)
        set_random_state(make_credential(account, {**body, "name": f"row {number}"}), numbers)
    shown = api.get("/v1/credentials?limit=200").json()["data"]
    states = {row["name"]: (row["refresh"] or {}).get("state") for row in shown}
    assert set(states.values()) == {None, *REFRESH_STATES}
    for state in REFRESH_STATES:
        expected = [name for name, its in states.items() if its == state]
        assert list_names(api, **{"refresh.state": state}) == expected


def set_random_state(row: Credential, numbers: random.Random) -> None:
    now = db_now()
    past, future = now - dt.timedelta(hours=1), now + dt.timedelta(hours=1)
    expires_at = numbers.choice([None, past, future])
    Credential.objects.filter(id=row.id).update(expires_at=expires_at)
    # A leased grant is always due.
    lease_until = numbers.choice([None, None, past, future])
    next_at = past if lease_until else numbers.choice([None, past, future])
    Grant.objects.filter(credentials=row.id).update(
        state=numbers.choice(["active"] * 8 + ["needs_reauth", "paused"]),
        lease_until=lease_until,
        lease_renewed_at=numbers.choice([None, past, future]),
        unknowns=numbers.choice([0, 0, 1]),
        failures=numbers.choice([0, 1]),
        last_at=numbers.choice([None, past]),
        next_at=next_at,
        on_hold=numbers.choice([False] * 7 + [True]),
    )
