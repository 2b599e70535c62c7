"""Attacks on sessions, the admin's login and client addresses."""

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


def test_admin_login_without_a_device_needs_the_password_only(boss):
    assert is_in(enter(boss))


def test_admin_login_with_a_device_needs_the_code(boss):
    make_authenticator(boss)
    assert not is_in(enter(boss))
    assert not is_in(enter(boss, otp="000000"))
    clear_throttling()
    assert is_in(enter(boss, otp=compute_code()))


def test_setting_up_a_device_ends_sessions_without_it(boss):
    client = enter(boss)
    make_authenticator(boss)
    assert not is_in(client)


@pytest.mark.parametrize("lookup", ["key__startswith=a", "key=a", "user__password__startswith=a"])
def test_device_key_cannot_be_found_by_lookups(boss, lookup):
    client = Client()
    client.force_login(boss)
    assert client.get(f"/admin/accounts/authenticator/?{lookup}").status_code == 400


def test_another_password_ends_the_sessions(boss):
    api = ApiClient(post_login(boss).json()["token"])
    boss.set_password("another one")
    boss.save()
    assert api.get("/v1/credentials").status_code == 401
    assert not Session.objects.exists()


def test_session_used_while_its_user_is_disabled_is_deleted(boss):
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
def test_client_address_is_valid_or_the_peers(settings, proxies, header, address):
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", headers={"X-Forwarded-For": header} if header else {})
    assert get_client_ip(request) == address


def test_post_to_an_unknown_api_path_is_a_json_404(db):
    response = Client(enforce_csrf_checks=True).post("/v1/nothing", {"a": "b"})
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_a_page_without_forwarded_proto_says_so(db, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    page = Client().get("/admin/login/")
    assert page.status_code == 400
    assert b"no header X-Forwarded-Proto" in page.content
    plain = Client().get("/admin/login/", headers={"X-Forwarded-Proto": "http"})
    assert (plain.status_code, plain["Location"]) == (301, "https://testserver/admin/login/")
    secure = Client().get("/admin/login/", headers={"X-Forwarded-Proto": "https"})
    assert secure.status_code == 200
    assert Client().get("/healthz").status_code == 200
    assert ApiClient("lk_x").get("/v1/credentials").status_code == 403


@pytest.mark.parametrize("path", ["/proxy/stripe/v1/charges", "/v1/proxy/credential/1/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_the_proxys_path_on_the_apis_port_says_where_the_proxy_is(db, method, path):
    response = Client(enforce_csrf_checks=True).generic(method, path)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert "manage.py serve_proxy" in response.json()["detail"]


def test_api_rejects_plain_http_if_https_is_used(account, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert ApiClient("lk_x").get("/v1/credentials").status_code == 403
