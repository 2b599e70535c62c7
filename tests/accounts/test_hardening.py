"""Sessions, the admin's door and client addresses under attack."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory

from accounts.models import Session
from config.middleware import get_client_ip
from tests.accounts.factor import clear_throttling, compute_code, make_authenticator
from tests.accounts.test_sessions import post_login
from tests.api import ApiClient
from tests.factories import make_staff


@pytest.fixture
def boss(account):
    return make_staff(is_superuser=True)


def enter(user, **more: str) -> Client:
    client = Client()
    client.post("/admin/login/", {"username": user.username, "password": "correct horse", **more})
    return client


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def test_without_a_device_the_password_opens_the_admin(boss):
    assert is_in(enter(boss))


def test_with_a_device_the_admin_asks_for_the_code(boss):
    make_authenticator(boss)
    assert not is_in(enter(boss))
    assert not is_in(enter(boss, otp="000000"))
    clear_throttling()
    assert is_in(enter(boss, otp=compute_code()))


def test_setting_up_a_device_shuts_out_sessions_that_have_not_shown_it(boss):
    client = enter(boss)
    make_authenticator(boss)
    assert not is_in(client)


@pytest.mark.parametrize("lookup", ["key__startswith=a", "key=a", "user__password__startswith=a"])
def test_no_device_key_is_read_by_asking(boss, lookup):
    client = Client()
    client.force_login(boss)
    assert client.get(f"/admin/accounts/authenticator/?{lookup}").status_code == 400


def test_another_password_ends_the_sessions(boss):
    api = ApiClient(post_login(boss).json()["token"])
    boss.set_password("another one")
    boss.save()
    assert api.get("/v1/credentials").status_code == 401
    assert not Session.objects.exists()


def test_a_session_met_while_its_user_was_disabled_does_not_come_back(boss):
    api = ApiClient(post_login(boss).json()["token"])
    for active, code in ((False, 401), (True, 401)):
        boss.is_active = active
        boss.save()
        assert api.get("/v1/credentials").status_code == code


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        (0, "1.2.3.4", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "9.9.9.9, 1.2.3.4", "1.2.3.4"),
        (2, "9.9.9.9, 1.2.3.4", "9.9.9.9"),
        (1, "1.2.3.4:55", "1.2.3.4"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "unknown", "127.0.0.1"),
    ],
)
def test_the_clients_address_is_one_or_the_peers(settings, proxies, header, address):
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", headers={"X-Forwarded-For": header} if header else {})
    assert get_client_ip(request) == address


def test_a_post_to_no_api_path_is_a_json_404(db):
    answer = Client(enforce_csrf_checks=True).post("/v1/nothing", {"a": "b"})
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_the_api_refuses_plain_http_where_people_use_https(account, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert ApiClient("lk_x").get("/v1/credentials").status_code == 403
