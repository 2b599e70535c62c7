"""Forecasts of an expiry, and the warnings before it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from common.datetimes import format_rfc3339
from common.db.clock import db_now
from credentials.health.expiry import forecast_expiry
from credentials.health.models import HealthChange
from credentials.models import Credential, Grant
from credentials.probing.check import check_credential
from providers.kinds import Kind
from providers.registry import get_registry
from tests.credentials.health.conftest import make_gitlab_body
from tests.factories import TESTER, make_app, make_credential

pytestmark = pytest.mark.django_db
DAYS = dt.timedelta(days=1)


def make_app_token(account, days: float) -> Credential:
    """Make a credential with an expiry, of a kind that has neither refresh nor probe."""
    properties = {
        "kind": "figma_oauth2",
        "user_id": "7",
        "access_token": "figd-1",
        "expires_at": format_rfc3339(db_now() + days * DAYS),
    }
    app = make_app(account, "figma")
    return make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})


def check(row: Credential) -> Any:
    check_credential(account_id=row.account_id, id=row.id, actor=TESTER)
    return Credential.objects.get(id=row.id).health


def test_distant_expiry_changes_nothing(account):
    assert check(make_app_token(account, 8))["status"] == "unknown"


def test_near_expiry_is_warning_with_date(account):
    row = make_app_token(account, 6)
    health = check(row)
    assert health["status"] == "warn"
    assert f"{row.expires_at:%Y-%m-%d}" in health["notes"][0]
    assert "unless it is replaced" in health["notes"][0]


def test_expired_credential_is_error(account):
    health = check(make_app_token(account, -1))
    assert health["status"] == "error"
    assert health["notes"][0].startswith("It expired on ")


def test_moved_expiry_ends_warning(account):
    row = make_app_token(account, 6)
    check(row)
    Credential.objects.filter(id=row.id).update(expires_at=db_now() + 90 * DAYS)
    assert check(row)["status"] == "unknown"


def test_repeated_check_changes_nothing(account):
    row = make_app_token(account, 6)
    check(row)
    check(row)
    assert HealthChange.objects.filter(target_id=row.id).count() == 1


def test_working_credential_with_near_expiry_is_warning(account, gitlab):
    body = make_gitlab_body(account, expires_at=format_rfc3339(db_now() + 3 * DAYS))
    row = make_credential(account, body)
    prints = {"access_token": row.fingerprints["access_token"]}
    Credential.objects.filter(id=row.id).update(fingerprints=prints)  # Without a refresh token.
    health = check(row)
    assert health["status"] == "warn"
    assert health["notes"][0].startswith("It will stop working on ")


def make_grant(provider: str, **given: Any) -> tuple[Credential, Kind]:
    now = db_now()
    last_at = now - given.pop("last_at") * DAYS if "last_at" in given else None
    row = Credential(
        grant=Grant(last_at=last_at),
        fingerprints={"refresh_token": ["a", "a"]},
        created_at=now - given.pop("age") * DAYS,
        **{name: now - days * DAYS for name, days in given.items()},
    )
    return row, get_registry().kinds[f"{provider}_oauth2"]


@pytest.mark.parametrize(
    ("provider", "given", "left"),
    [
        ("airtable", {"age": 50}, 10),
        ("airtable", {"age": 50, "last_at": 1}, 59),
        ("airtable", {"age": 50, "obtained_at": 5}, 55),
        ("netsuite", {"age": 6}, 1),
        ("netsuite", {"age": 6, "last_at": 0.1}, 1),
        ("docusign", {"age": 100, "last_at": 10}, 20),
        ("atlassian", {"age": 300, "last_at": 1}, 65),
    ],
    ids=["idle", "refreshed", "newer grant", "lifetime", "not extended", "anew", "whole grant"],
)
def test_grant_expires_by_rules_of_provider(provider, given, left):
    row, kind = make_grant(provider, **given)
    end: Any = forecast_expiry(row, kind)
    assert round((end.ends_at - db_now()) / DAYS) == left


def test_replaced_grant_counts_from_replacement():
    row, kind = make_grant("netsuite", age=100)
    end: Any = forecast_expiry(row, kind, db_now() - 2 * DAYS)
    assert round((end.ends_at - db_now()) / DAYS) == 5


@pytest.mark.parametrize("provider", ["gitlab", "linear"])
def test_unknown_rules_forecast_nothing(provider):
    row, kind = make_grant(provider, age=1000)
    assert forecast_expiry(row, kind) is None


def test_past_expiry_of_working_credential_is_ignored(account, gitlab, monkeypatch):
    row = make_credential(account, make_gitlab_body(account))
    end: Any = forecast_expiry(*make_grant("netsuite", age=100))
    assert end.ends_at < db_now()
    monkeypatch.setattr("credentials.health.services.forecast_expiry", lambda *given: end)
    assert check(row)["status"] == "ok"
