"""Password hashing is bounded at every entry point, and waits without a request slot."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as project_settings
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from django.test import Client

from accounts import password_hashing
from accounts.password_hashing import (
    CHECKS_PER_MINUTE,
    MAX_CONCURRENT,
    AddressRate,
    BoundedArgon2PasswordHasher,
    HashingSlots,
    password_checks,
)
from common.concurrency import request_slots
from common.errors import ServiceUnavailableError, TooManyRequestsError
from config import settings as production
from tests.api import ApiClient
from tests.factories import make_credential, make_staff
from tests.threads import count_most_at_once

PASSWORD = "correct horse"


@pytest.fixture
def custodian(account):
    return make_staff("Custodian")


def log_in_to_api(user, password: str = PASSWORD, **options: Any):
    body = {"username": user.username, "password": password}
    return ApiClient().post("/api/auth/login", body, **options)


def log_in_to_admin(user, password: str = PASSWORD):
    return Client().post("/admin/login/", {"username": user.username, "password": password})


def enter(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def change_password(user, old: str = PASSWORD, client: Client | None = None):
    new = "a longer battery staple"
    body = {"old_password": old, "new_password1": new, "new_password2": new}
    return (client or enter(user)).post("/admin/password_change/", body)


@pytest.fixture
def frozen_clock(monkeypatch):
    """The rate is not refilled during a test, however slow the machine is."""
    monkeypatch.setattr(password_hashing, "time", SimpleNamespace(monotonic=lambda: 100.0))


@pytest.fixture
def no_free_slot(monkeypatch):
    """Occupy all hashing slots; no request may wait for one."""
    slots = HashingSlots(1, 0)
    monkeypatch.setattr(password_hashing, "hashing_slots", slots)
    with slots.acquire():
        yield


def test_production_uses_the_bounded_hasher(settings):
    settings.PASSWORD_HASHERS = production.PASSWORD_HASHERS
    encoded = make_password(PASSWORD)
    assert isinstance(identify_hasher(encoded), BoundedArgon2PasswordHasher)
    assert encoded.startswith("argon2$argon2id$")
    assert check_password(PASSWORD, encoded)
    assert project_settings.AUTHENTICATION_BACKENDS[0].endswith("AddressRateBackend")


def test_logins_beyond_the_queue_are_503(custodian, no_free_slot):
    response = log_in_to_api(custodian)
    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    assert response.json()["retry_after_seconds"] == 2

    page = log_in_to_admin(custodian)
    assert (page.status_code, page["Retry-After"]) == (503, "2")
    assert "Too many logins at once" in page.content.decode()


def test_a_password_change_beyond_the_queue_is_503(custodian, no_free_slot):
    page = change_password(custodian)
    assert (page.status_code, page["Retry-After"]) == (503, "2")


def test_a_reveal_beyond_the_queue_says_so(custodian, account, no_free_slot):
    client, row = enter(custodian), make_credential(account)
    address = f"/admin/credentials/credential/{row.pk}/reveal/"
    page = client.get(address)
    name = page.context["form"].fields["secret"].choices[0][0]
    page = client.post(address, {"secret": name, "reason": "test", "password": PASSWORD})
    assert "Too many logins at once" in page.content.decode()


def test_no_more_hashes_run_than_there_are_slots():
    assert count_most_at_once(HashingSlots(2, 20).acquire, 16) == 2


def test_a_request_that_waits_for_a_hash_yields_its_request_slot():
    slots, hashing, done = HashingSlots(1, 6), threading.Event(), threading.Event()

    def hash_one() -> None:
        with request_slots.acquire(), slots.acquire():
            hashing.set()
            done.wait(60)

    count = 7
    with ThreadPoolExecutor(count + 1) as pool:
        futures = [pool.submit(hash_one) for _ in range(count)]
        assert hashing.wait(60)
        while request_slots.yielded_count < count:
            threading.Event().wait(0.005)
        with request_slots.acquire(), pytest.raises(ServiceUnavailableError), slots.acquire():
            pass
        done.set()
        for future in futures:
            future.result(60)
    assert MAX_CONCURRENT <= 2


@pytest.mark.parametrize("attempt", [log_in_to_api, log_in_to_admin, change_password])
def test_an_address_that_tries_many_passwords_is_429_before_hashing(
    attempt, custodian, monkeypatch, frozen_clock
):
    for _ in range(CHECKS_PER_MINUTE):
        password_checks.consume("127.0.0.1")
    monkeypatch.setattr(password_hashing, "hashing_slots", None)
    response = attempt(custodian)
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60


def test_random_usernames_are_counted_by_their_address(db, frozen_clock):
    body = {"password": "x"}
    responses = [
        ApiClient().post("/api/auth/login", {**body, "username": f"u{number}"})
        for number in range(CHECKS_PER_MINUTE + 1)
    ]
    assert {response.status_code for response in responses[:-1]} == {401}
    assert responses[-1].status_code == 429


def test_wrong_old_passwords_lock_the_user_out(custodian):
    client = enter(custodian)
    for _ in range(5):
        change_password(custodian, "wrong", client)
    assert change_password(custodian, client=client).status_code == 429
    assert log_in_to_api(custodian).status_code == 429
    custodian.refresh_from_db()
    assert custodian.check_password(PASSWORD)


def test_a_right_old_password_changes_it(custodian):
    assert change_password(custodian).status_code == 302
    custodian.refresh_from_db()
    assert custodian.check_password("a longer battery staple")


def test_the_fifth_failure_at_the_api_is_json(custodian):
    responses = [log_in_to_api(custodian, "wrong") for _ in range(6)]
    assert [response.status_code for response in responses] == [401] * 4 + [429] * 2
    for response in responses:
        assert response["Content-Type"] == "application/json"
    assert responses[4].json()["retry_after_seconds"] > 0


def test_a_rate_is_refilled(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    rate = AddressRate(3, 60)
    for _ in range(3):
        rate.consume("2001:db8::1")
    with pytest.raises(TooManyRequestsError) as caught:
        rate.consume("2001:db8::2")
    assert caught.value.retry_after == 20
    rate.consume("2001:db8:0:1::1")
    now += 20
    rate.consume("2001:db8::2")
    with pytest.raises(TooManyRequestsError):
        rate.consume("2001:db8::1")


def test_ipv4_clients_of_an_ipv6_socket_are_counted_each():
    rate = AddressRate(1, 60)
    rate.consume("::ffff:192.0.2.1")
    rate.consume("::ffff:192.0.2.2")
    with pytest.raises(TooManyRequestsError):
        rate.consume("192.0.2.1")


def test_a_flood_of_addresses_takes_bounded_memory():
    rate = AddressRate(3, 60)
    for number in range(25_000):
        rate.consume(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(rate._full_at) <= 10_001
