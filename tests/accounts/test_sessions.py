"""Sessions of staff: login, status, logout."""

from __future__ import annotations

import datetime as dt

import orjson
import pytest

from accounts.login import LOGIN_ERROR
from accounts.models import Session
from common.datetimes import parse_rfc3339
from common.db.clock import db_now
from tests.accounts.factor import clear_throttling, compute_code, make_authenticator
from tests.api import ApiClient
from tests.factories import make_staff


@pytest.fixture
def staff(account):
    return make_staff("Operator")


def post_login(user, password: str = "correct horse", **more):
    return ApiClient().post(
        "/api/auth/login", {"username": user.username, "password": password, **more}
    )


def test_login_creates_a_session_of_four_hours(staff):
    response = post_login(staff)
    assert response.status_code == 200
    assert response.json()["token"].startswith("lk_sess_")
    expires_at = parse_rfc3339(response.json()["expires_at"])
    assert expires_at is not None
    left = expires_at - db_now()
    assert dt.timedelta(hours=3, minutes=59) < left <= dt.timedelta(hours=4)


def test_a_session_calls_the_api_with_its_groups_scopes(staff):
    api = ApiClient(post_login(staff).json()["token"])
    assert api.get("/v1/credentials").status_code == 200
    assert api.post("/v1/oauth-apps", {}).status_code == 403


def test_session_cannot_reveal(account):
    boss = make_staff(is_superuser=True)
    api = ApiClient(post_login(boss).json()["token"])
    assert api.get("/v1/oauth-apps?truncate_secrets=false").status_code == 403


def test_leaving_the_group_takes_effect_at_once(staff):
    api = ApiClient(post_login(staff).json()["token"])
    staff.groups.clear()
    assert api.get("/v1/credentials").status_code == 403


def test_logout_ends_the_session_at_once(staff):
    api = ApiClient(post_login(staff).json()["token"])
    assert api.post("/api/auth/logout").json() == {"success": True}
    assert api.post("/api/auth/logout").status_code == 401


def test_disabling_the_user_ends_the_session_at_once(staff):
    api = ApiClient(post_login(staff).json()["token"])
    staff.is_active = False
    staff.save()
    assert api.get("/api/credentials").status_code == 401


def test_the_sixth_session_ends_the_oldest(staff):
    tokens = [post_login(staff).json()["token"] for _ in range(6)]
    codes = [ApiClient(token).get("/v1/credentials").status_code for token in tokens]
    assert codes == [401, 200, 200, 200, 200, 200]


def test_an_expired_session_is_401(staff, settings):
    token = post_login(staff).json()["token"]
    settings.CLOCK_SHIFT_SECONDS = 4 * 3600 + 1
    assert ApiClient(token).get("/v1/credentials").status_code == 401


@pytest.mark.parametrize("password", ["wrong", "Correct horse"])
def test_a_wrong_password_is_401(staff, password):
    response = post_login(staff, password)
    assert (response.status_code, list(response.json())) == (401, ["error"])


def test_login_of_a_user_who_is_not_staff_has_the_same_error(account):
    user = make_staff()
    user.is_staff = False
    user.save()
    assert post_login(user).json() == post_login(user, "wrong").json()


def test_five_failures_lock_the_pair_out(staff):
    for _ in range(5):
        assert post_login(staff, "wrong").status_code in {401, 429}
    response = post_login(staff)
    assert response.status_code == 429
    assert 1 <= response.json()["retry_after_seconds"] <= 60
    assert response["Retry-After"] == str(response.json()["retry_after_seconds"])


def test_a_lock_out_of_one_user_leaves_another_in(staff):
    for _ in range(6):
        post_login(staff, "wrong")
    assert post_login(make_staff("Viewer")).status_code == 200


def test_with_a_device_the_code_is_required(staff):
    make_authenticator(staff)
    responses = [
        post_login(staff),
        post_login(staff, otp="000 000"),
        post_login(staff, "wrong", otp=compute_code()),
    ]
    # A right password alone shows nothing, so that it cannot be guessed without the code.
    assert {(each.status_code, each.content) for each in responses} == {
        (401, orjson.dumps({"error": LOGIN_ERROR}))
    }
    clear_throttling()
    code = compute_code()
    assert post_login(staff, otp=code).status_code == 200
    assert post_login(staff, otp=code).status_code == 401  # A code is good once.


def test_the_account_may_be_left_out_while_there_is_one(staff, other_account):
    assert post_login(staff).status_code == 400
    assert post_login(staff, account="other").status_code == 200
    assert post_login(staff, account="nope").status_code == 400


def test_a_session_is_bound_to_its_account(staff, other_account):
    post_login(staff, account="other")
    assert Session.objects.get().account_id == other_account.id


def test_status_reports_if_a_staff_user_exists(db):
    assert ApiClient().get("/api/auth/status").json() == {
        "initialized": False,
        "authenticated": False,
    }


def test_status_reports_if_the_session_is_valid(staff):
    token = post_login(staff).json()["token"]
    assert ApiClient(token).get("/api/auth/status").json() == {
        "initialized": True,
        "authenticated": True,
    }
    assert not ApiClient("lk_sess_nonsense").get("/api/auth/status").json()["authenticated"]
