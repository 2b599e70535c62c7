from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as BrowserSession
from django.test import Client

from accounts.models import Account, ApiToken, Session
from accounts.services import session_open
from events.models import Event
from tests.admin.pages import address, errors, text
from tests.api import ApiClient
from tests.factories import TESTER, make_credential, make_token


def test_adding_an_account_derives_its_slug(browser: Client) -> None:
    response = browser.post(address(Account, "add"), {"name": "Choam Trading"})
    assert response.status_code == 302
    assert Account.objects.get().slug == "choam-trading"
    assert Event.objects.get().verb == "account.created"


def test_add_rejects_an_account_with_a_used_slug(browser: Client, account: Account) -> None:
    response = browser.post(address(Account, "add"), {"name": "ACME"})
    assert "There is an account with the slug acme already." in text(response)
    assert Account.objects.count() == 1


def test_add_rejects_an_account_without_a_letter(browser: Client) -> None:
    response = browser.post(address(Account, "add"), {"name": "!!!"})
    assert "Must have a letter or a digit" in str(errors(response)["name"])


@pytest.mark.parametrize("model", [Account, ApiToken, Event])
def test_these_models_have_no_delete_page(
    browser: Client, account: Account, model: type[Any]
) -> None:
    make_token(account)
    row = model.objects.first()
    assert browser.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [Account, ApiToken, Session, Event])
def test_these_models_have_no_change_page(
    browser: Client, account: Account, superuser: User, model: type[Any]
) -> None:
    make_token(account)
    session_open(user=superuser, account_id=account.id, actor=TESTER)
    row = model.objects.first()
    response = browser.post(address(model, "change", row.pk), {"name": "x"})
    assert response.status_code == 403


@pytest.mark.parametrize("model", [Session, Event])
def test_these_models_have_no_add_page(browser: Client, model: type[Any]) -> None:
    assert browser.post(address(model, "add"), {}).status_code == 403


def _add_token(browser: Client, account: Account, **more: Any) -> Any:
    values = {
        "account": account.pk,
        "name": "ci",
        "scopes": ["credentials:read"],
        "your_password": "correct horse",
    }
    return browser.post(address(ApiToken, "add"), values | more)


def _find_token(response: Any) -> str:
    found = re.search(r"lk_[0-9A-Za-z]{36}", text(response))
    assert found is not None
    return found[0]


def test_a_new_token_authenticates(browser: Client, account: Account) -> None:
    credential = make_credential(account)
    held = _find_token(_add_token(browser, account))
    response = ApiClient(held).get(f"/v1/credentials/{credential.id}")
    assert response.status_code == 200


def test_a_new_token_is_displayed_once_and_not_stored(browser: Client, account: Account) -> None:
    response = _add_token(browser, account)
    held = _find_token(response)
    assert "no-store" in response["Cache-Control"]
    assert held not in str(browser.cookies)
    assert not [row for row in BrowserSession.objects.all() if held in str(row.get_decoded())]
    assert held not in text(browser.get(address(ApiToken, "changelist")))


@pytest.mark.parametrize(
    ("field", "typed"),
    [("scopes", []), ("scopes", ["everything"]), ("name", "a\u202eb"), ("expires_at_0", "soon")],
)
def test_add_rejects_an_invalid_token(
    browser: Client, account: Account, field: str, typed: Any
) -> None:
    response = _add_token(browser, account, **{field: typed})
    assert field.removesuffix("_0") in errors(response)
    assert not ApiToken.objects.exists()


def test_a_revoked_token_is_rejected(browser: Client, account: Account) -> None:
    held = make_token(account)
    token = ApiToken.objects.get()
    action = {"action": "revoke", "_selected_action": [str(token.pk)]}
    response = browser.post(address(ApiToken, "changelist"), action, follow=True)
    assert "API tokens revoked: 1." in text(response)
    assert ApiClient(held).get("/v1/credentials").status_code == 401
    assert Event.objects.filter(verb="token.revoked", target_id=token.pk).exists()


def test_revoke_rejects_too_many_tokens(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin.MAX_REVOKED_TOKENS", 1)
    held = [make_token(account) for _ in range(2)]
    ids = [str(pk) for pk in ApiToken.objects.values_list("pk", flat=True)]
    action = {"action": "revoke", "_selected_action": ids}
    response = browser.post(address(ApiToken, "changelist"), action, follow=True)
    assert "Select at most 1 at once; nothing was done." in text(response)
    assert ApiClient(held[0]).get("/v1/credentials").status_code == 200


def test_a_deleted_session_is_rejected(browser: Client, account: Account, superuser: User) -> None:
    session, held = session_open(user=superuser, account_id=account.id, actor=TESTER)
    browser.post(address(Session, "delete", session.pk), {"post": "yes"})
    assert ApiClient(held).get("/v1/credentials").status_code == 401
    assert Event.objects.get(verb="session.closed").actor == f"user:{superuser.pk}"
