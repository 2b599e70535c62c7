"""Token requests that are rejected."""

from __future__ import annotations

import pytest

from credentials.models import Revocation
from tests.api import ApiClient
from tests.credentials.connect.flows import (
    approve_and_get_code,
    exchange_code_at_api,
    list_failure_codes,
)
from tests.credentials.connect.test_documented_flows import CHALLENGE as OURS

pytestmark = pytest.mark.usefixtures("reset_counters")


def test_second_use_of_code_revokes_grant(browser, app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    assert exchange_code_at_api(app, code).status_code == 200
    response = exchange_code_at_api(app, code)
    assert response.status_code == 400
    assert response.json()["error"] == "invalid_grant"
    assert Revocation.objects.get().kind == "alpha_oauth2"
    assert list_failure_codes() == ["replayed"]
    assert exchange_code_at_api(app, code).status_code == 400


def test_second_use_of_code_revokes_imported_grant(browser, app, alpha, api):
    code = approve_and_get_code(browser, app, alpha)
    api.post("/v1/credentials", exchange_code_at_api(app, code).json()["credential"])
    exchange_code_at_api(app, code)
    assert Revocation.objects.count() == 1


def test_code_expires_after_ten_minutes(browser, app, alpha, settings):
    code = approve_and_get_code(browser, app, alpha)
    settings.CLOCK_SHIFT_SECONDS = 601
    assert exchange_code_at_api(app, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("name", ["code", "client_id", "client_secret"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_exchange_names_missing_field(browser, app, alpha, name, value):
    code = approve_and_get_code(browser, app, alpha)
    response = exchange_code_at_api(app, code, **{name: value})
    assert response.status_code == 422
    assert name in response.json()["validation_errors"]
    assert exchange_code_at_api(app, code).status_code == 200


@pytest.mark.parametrize(
    ("name", "value", "status", "error"),
    [
        ("code", "c" * 43, 400, "invalid_grant"),
        ("client_id", "01989aa0-0000-7000-8000-000000000000", 401, "invalid_client"),
        ("client_id", "client-1", 401, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        ("client_secret", "**********", 401, "invalid_client"),
        ("redirect_uri", "https://evil.example/", 400, "invalid_grant"),
        ("code_verifier", "v" * 43, 400, "invalid_grant"),
        ("grant_type", "refresh_token", 422, None),
        ("nope", "x", 422, None),
    ],
)
def test_exchange_rejects_wrong_value(browser, app, alpha, name, value, status, error):
    code = approve_and_get_code(browser, app, alpha)
    response = exchange_code_at_api(app, code, **{name: value})
    assert response.status_code == status
    assert response.json().get("error") == error
    assert value.encode() not in response.content or name in {"grant_type", "nope"}
    assert exchange_code_at_api(app, code).status_code == 200


def test_exchange_rejects_repeated_field(browser, app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    raw = (
        f'{{"code": "{code}", "code": "x", "client_id": "{app.id}", "client_secret": "app-secret"}}'
    )
    assert ApiClient().post("/link/oauth2/token", raw.encode()).status_code == 400


def test_exchange_rejects_code_of_another_app(browser, app, other_app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    assert exchange_code_at_api(other_app, code).json()["error"] == "invalid_grant"
    assert exchange_code_at_api(app, code).status_code == 200


@pytest.mark.parametrize("verifier", [None, "w" * 43, "v" * 42, "v" * 44])
def test_exchange_rejects_wrong_code_verifier(browser, app, alpha, verifier):
    code = approve_and_get_code(
        browser, app, alpha, code_challenge=OURS, code_challenge_method="S256"
    )
    assert (
        exchange_code_at_api(app, code, code_verifier=verifier).json()["error"] == "invalid_grant"
    )


def test_exchange_does_not_allow_get(db):
    assert ApiClient().get("/link/oauth2/token?code=x").status_code == 405
