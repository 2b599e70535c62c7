"""Changes that lead to a secret: they need what a reveal needs, and not a session alone."""

from __future__ import annotations

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from accounts.models import Account, ApiToken
from credentials.models import Reveal
from credentials.services.custom_providers import custom_provider_create
from credentials.services.reveal import MAX_REVEALS_PER_HOUR
from oauth_apps.models import OAuthApp
from providers.models import CustomProvider
from tests.accounts.factor import compute_code, make_authenticator
from tests.admin.pages import address, errors
from tests.api import ApiClient
from tests.factories import TESTER, make_app, make_credential, make_staff, make_token

PASSWORD = {"your_password": "correct horse"}
TOKEN = {"name": "ci", "scopes": ["credentials:reveal"]}


@pytest.fixture
def custodian(account: Account) -> User:
    return make_staff("Custodian")


@pytest.fixture
def session(custodian: User) -> Client:
    """A browser with a copy of the custodian's session, and neither password nor code."""
    return _open_session(custodian)


@pytest.fixture
def boss_session(superuser: User) -> Client:
    return _open_session(superuser)


def _open_session(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def _mint(session: Client, account: Account, **more: Any) -> Any:
    return session.post(address(ApiToken, "add"), {"account": account.pk, **TOKEN, **more})


@pytest.mark.parametrize("typed", [{}, {"your_password": "wrong horse"}])
def test_a_session_alone_creates_no_token(
    session: Client, account: Account, typed: dict[str, str]
) -> None:
    assert "your_password" in errors(_mint(session, account, **typed))
    assert not ApiToken.objects.exists()


def test_a_password_creates_a_token(session: Client, account: Account) -> None:
    _mint(session, account, **PASSWORD)
    assert ApiToken.objects.get().scopes == ["credentials:reveal"]


def test_guessing_the_password_at_the_token_page_locks_out(
    session: Client, account: Account
) -> None:
    for number in range(5):
        _mint(session, account, your_password=f"guess {number}")
    found = errors(_mint(session, account, **PASSWORD))
    assert "Too many failures" in str(found["your_password"])
    assert AccessAttempt.objects.get().failures_since_start >= 5


def test_a_token_needs_the_code_of_a_user_who_has_a_device(
    custodian: User, account: Account
) -> None:
    make_authenticator(custodian)
    session = Client()
    login = {"username": custodian.username, "password": "correct horse", "otp": compute_code()}
    session.post("/admin/login/", login)
    assert "your_password" in errors(_mint(session, account, **PASSWORD))
    _mint(session, account, **PASSWORD, one_time_code=compute_code(steps=1))
    assert ApiToken.objects.count() == 1


def test_a_token_that_reveals_needs_a_right_of_its_own(
    custodian: User, session: Client, account: Account
) -> None:
    Group.objects.get(name="Custodian").permissions.remove(
        Permission.objects.get(codename="mint_apitoken")
    )
    assert "scopes" in errors(_mint(session, account, **PASSWORD))
    _mint(session, account, **PASSWORD, scopes=["credentials:read"])
    assert ApiToken.objects.get().scopes == ["credentials:read"]


def test_reveals_of_a_persons_tokens_count_together(
    custodian: User, session: Client, account: Account
) -> None:
    row = make_credential(account)
    clients = []
    for _ in range(2):
        page = _mint(session, account, **PASSWORD).content.decode()
        clients.append(ApiClient("lk_" + page.partition("lk_")[2][:36]))
    for used in range(MAX_REVEALS_PER_HOUR):
        response = _reveal(clients[used % 2], row.pk)
        assert response.status_code == 200
    assert [_reveal(client, row.pk).status_code for client in clients] == [429, 429]
    assert Reveal.objects.count() == MAX_REVEALS_PER_HOUR


def _reveal(client: ApiClient, id: object) -> Any:
    return client.post(f"/v1/credentials/{id}/reveal", {"reason": "A ticket"})


def _service(account: Account) -> CustomProvider:
    return custom_provider_create(
        account_id=account.id, actor=TESTER, name="erp", base_url="https://erp.example.com"
    )


def _change_service(session: Client, row: CustomProvider, **more: Any) -> Any:
    values = {
        "base_url": row.base_url,
        "auth_header": row.auth_header,
        "prefix": row.prefix,
        "blocked_endpoints": "",
        "rate_limit": row.rate_limit,
    }
    return session.post(address(CustomProvider, "change", row.pk), values | more)


@pytest.mark.parametrize(
    "change",
    [{"base_url": "https://evil.example.com"}, {"auth_header": "X-Copy"}, {"prefix": "Basic "}],
)
def test_a_session_alone_sends_no_key_elsewhere(
    session: Client, account: Account, change: dict[str, str]
) -> None:
    row = _service(account)
    assert "your_password" in errors(_change_service(session, row, **change))
    name, value = next(iter(change.items()))
    row.refresh_from_db()
    assert getattr(row, name) != value
    _change_service(session, row, **change, **PASSWORD)
    row.refresh_from_db()
    assert getattr(row, name) == value


def test_a_session_alone_changes_the_rate_of_a_service(session: Client, account: Account) -> None:
    row = _service(account)
    _change_service(session, row, rate_limit=7)
    row.refresh_from_db()
    assert row.rate_limit == 7


def test_a_session_alone_sends_no_client_secret_elsewhere(
    session: Client, account: Account
) -> None:
    app = make_app(account, provider="zendesk", config={"subdomain": "acme"})
    values = {
        "name": app.name,
        "revision": app.revision,
        "client_secret": "",
        "redirect_uris": "",
        "scopes": "",
        "config": '{"subdomain": "evil"}',
        "authorize_params": "{}",
        "metadata": "{}",
    }
    page = address(OAuthApp, "change", app.pk)
    assert "your_password" in errors(session.post(page, values))
    assert session.post(page, values | PASSWORD).status_code == 302
    app.refresh_from_db()
    assert app.config["subdomain"] == "evil"


def test_a_superusers_session_alone_gives_no_rights(boss_session: Client) -> None:
    other = make_staff("Viewer")
    page = address(User, "change", other.pk)
    values = {
        "username": other.username,
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
    }
    assert "your_password" in errors(boss_session.post(page, values))
    other.refresh_from_db()
    assert not other.is_superuser
    assert boss_session.post(page, values | PASSWORD).status_code == 302
    other.refresh_from_db()
    assert other.is_superuser


def test_a_superusers_session_alone_gives_no_right_to_a_group(boss_session: Client) -> None:
    group = Group.objects.get(name="Viewer")
    right = Permission.objects.get(codename="reveal_credential")
    values = {"name": group.name, "permissions": [right.pk]}
    page = address(Group, "change", group.pk)
    assert "your_password" in errors(boss_session.post(page, values))
    assert right not in group.permissions.all()
    assert boss_session.post(page, values | PASSWORD).status_code == 302
    assert right in group.permissions.all()


def test_a_superusers_session_alone_sets_no_password(boss_session: Client) -> None:
    other = make_staff("Custodian")
    page = f"/admin/auth/user/{other.pk}/password/"
    values = {"usable_password": "true", "password1": "tr0ub4dor&3x", "password2": "tr0ub4dor&3x"}
    assert "your_password" in boss_session.get(page).content.decode()
    assert boss_session.post(page, values).status_code == 200
    other.refresh_from_db()
    assert other.check_password("correct horse")
    assert boss_session.post(page, values | PASSWORD).status_code == 302
    other.refresh_from_db()
    assert other.check_password("tr0ub4dor&3x")


def test_an_own_password_change_needs_the_code(custodian: User) -> None:
    make_authenticator(custodian)
    session = Client()
    login = {"username": custodian.username, "password": "correct horse", "otp": compute_code()}
    session.post("/admin/login/", login)
    values = {
        "old_password": "correct horse",
        "new_password1": "tr0ub4dor&3x",
        "new_password2": "tr0ub4dor&3x",
    }
    assert session.post("/admin/password_change/", values).status_code == 200
    custodian.refresh_from_db()
    assert custodian.check_password("correct horse")
    values["otp"] = compute_code(steps=1)
    assert session.post("/admin/password_change/", values).status_code == 302


def test_a_token_that_does_not_reveal_points_no_app_at_its_own_server(account: Account) -> None:
    writer = ApiClient(make_token(account, "oauth_apps:read", "oauth_apps:write"))
    body = {
        "provider": "gitlab",
        "name": "GitLab",
        "client_id": "one",
        "client_secret": "first secret",
        "config": {"origin": "https://git.example.com"},
    }
    response = writer.post("/v1/oauth-apps", body)
    assert (response.status_code, response.json()["missing_scope"]) == (403, "credentials:reveal")
    app = make_app(account, "gitlab")
    response = writer.patch(f"/v1/oauth-apps/{app.id}", {"config": body["config"]})
    assert (response.status_code, response.json()["missing_scope"]) == (403, "credentials:reveal")
    assert writer.patch(f"/v1/oauth-apps/{app.id}", {"name": "Other"}).status_code == 200
