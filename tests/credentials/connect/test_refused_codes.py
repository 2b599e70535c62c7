"""What does not get a company the tokens that its code stands for."""

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

pytestmark = pytest.mark.usefixtures("nothing_counted")


def test_a_code_works_once_and_its_second_use_gives_the_grant_back(browser, app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    assert exchange_code_at_api(app, code).status_code == 200
    answer = exchange_code_at_api(app, code)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    assert Revocation.objects.get().kind == "alpha_oauth2"
    assert list_failure_codes() == ["replayed"]
    assert exchange_code_at_api(app, code).status_code == 400


def test_a_second_use_ends_even_what_was_imported(browser, app, alpha, api):
    code = approve_and_get_code(browser, app, alpha)
    api.post("/v1/credentials", exchange_code_at_api(app, code).json()["credential"])
    exchange_code_at_api(app, code)
    assert Revocation.objects.count() == 1


def test_a_code_ends_after_ten_minutes(browser, app, alpha, settings):
    code = approve_and_get_code(browser, app, alpha)
    settings.CLOCK_SHIFT_SECONDS = 601
    assert exchange_code_at_api(app, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("name", ["code", "client_id", "client_secret"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_the_exchange_needs_its_fields(browser, app, alpha, name, value):
    code = approve_and_get_code(browser, app, alpha)
    answer = exchange_code_at_api(app, code, **{name: value})
    assert answer.status_code == 422
    assert name in answer.json()["validation_errors"]
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
def test_the_exchange_refuses_what_is_wrong(browser, app, alpha, name, value, status, error):
    code = approve_and_get_code(browser, app, alpha)
    answer = exchange_code_at_api(app, code, **{name: value})
    assert answer.status_code == status
    assert answer.json().get("error") == error
    assert value.encode() not in answer.content or name in {"grant_type", "nope"}
    assert exchange_code_at_api(app, code).status_code == 200


def test_the_exchange_refuses_a_field_twice(browser, app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    raw = (
        f'{{"code": "{code}", "code": "x", "client_id": "{app.id}", "client_secret": "app-secret"}}'
    )
    assert ApiClient().post("/link/oauth2/token", raw.encode()).status_code == 400


def test_a_code_is_its_own_apps(browser, app, other_app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    assert exchange_code_at_api(other_app, code).json()["error"] == "invalid_grant"
    assert exchange_code_at_api(app, code).status_code == 200


@pytest.mark.parametrize("verifier", [None, "w" * 43, "v" * 42, "v" * 44])
def test_a_challenge_of_the_companys_is_held(browser, app, alpha, verifier):
    code = approve_and_get_code(
        browser, app, alpha, code_challenge=OURS, code_challenge_method="S256"
    )
    assert (
        exchange_code_at_api(app, code, code_verifier=verifier).json()["error"] == "invalid_grant"
    )


def test_a_token_in_the_address_is_no_login(db):
    assert ApiClient().get("/link/oauth2/token?code=x").status_code == 405
