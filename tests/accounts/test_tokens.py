"""API tokens: what is stored, what is rejected, and when the last use is stored."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import token_format
from accounts.models import ApiToken
from accounts.services import token_revoke
from common.db.clock import db_now
from tests.api import ApiClient
from tests.factories import TESTER, make_token


def test_only_a_hash_is_stored(account):
    held = make_token(account)
    row = ApiToken.objects.get()
    assert bytes(row.digest) == token_format.hash_token(held)
    assert held not in str(vars(row))
    assert held.startswith(row.prefix)
    assert len(row.prefix) <= 12


@pytest.mark.parametrize("kind", [token_format.TOKEN_PREFIX, token_format.SESSION_PREFIX])
def test_new_token_has_the_published_form(kind):
    held = token_format.generate_token(kind)
    assert token_format.detect_token_type(held) == kind
    assert len(held) == len(kind) + 36


@given(st.integers(3, 38), st.sampled_from("0Zz_"))
def test_one_wrong_character_fails_the_checksum(at, wrong):
    held = token_format.generate_token(token_format.TOKEN_PREFIX)
    broken = held[:at] + wrong + held[at + 1 :]
    assert broken == held or token_format.detect_token_type(broken) is None


def test_a_bad_checksum_costs_no_query(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert ApiClient("lk_" + "0" * 36).get("/v1/credentials").status_code == 401


def test_a_well_formed_unknown_token_is_401(db):
    response = ApiClient(token_format.generate_token(token_format.TOKEN_PREFIX)).get(
        "/v1/credentials"
    )
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="latchkey"'


def test_a_revoked_token_is_401_at_once(account, api):
    token_revoke(token=ApiToken.objects.get(), actor=TESTER)
    assert api.get("/v1/credentials").status_code == 401


def test_an_expired_token_is_401(account, settings):
    token = make_token(account, expires_at=db_now() + dt.timedelta(hours=1))
    assert ApiClient(token).get("/v1/credentials").status_code == 200
    settings.CLOCK_SHIFT_SECONDS = 3601
    assert ApiClient(token).get("/v1/credentials").status_code == 401


def test_last_use_is_stored_at_most_once_a_minute(api, settings):
    def last_used() -> dt.datetime:
        api.get("/v1/credentials")
        noted = ApiToken.objects.get().last_used_at
        assert noted is not None
        return noted

    first = last_used()
    assert last_used() == first
    settings.CLOCK_SHIFT_SECONDS = 61
    assert last_used() > first


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer  ", "Basic dTpw", "Bearer a b", "bearer\tx", "Token x"],
)
def test_another_header_is_401(db, header):
    response = ApiClient().get("/v1/credentials", headers={"Authorization": header})
    assert response.status_code == 401


def test_a_token_in_the_query_is_not_read(account, api):
    response = ApiClient().get(f"/v1/credentials?access_token={api.token}")
    assert response.status_code == 401
