"""The History page of whatever has an account shows its trail: who, what, which fields, when; no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, ApiToken
from credentials.custom_providers import custom_provider_create
from tests.admin.pages import address, text
from tests.factories import TESTER, make_app, make_endpoint, make_link, make_token


def _provider(account: Account) -> Any:
    base = "https://api.example.com"
    return custom_provider_create(account_id=account.pk, actor=TESTER, name="ours", base_url=base)


def _token(account: Account) -> ApiToken:
    make_token(account)
    return ApiToken.objects.get()


@pytest.mark.parametrize(
    ("make", "verb"),
    [
        (make_app, "oauth_app.created"),
        (make_endpoint, "webhook_endpoint.created"),
        (make_link, "connect_link.created"),
        (_provider, "custom_provider.created"),
        (_token, "token.created"),
        (lambda account: account, "account.created"),
    ],
    ids=["app", "endpoint", "link", "provider", "token", "account"],
)
def test_it_shows_what_others_did(
    browser: Client, account: Account, make: Callable[[Account], Any], verb: str
) -> None:
    row = make(account)
    shown = text(browser.get(address(type(row), "history", row.pk)))
    assert f"<td>{verb}</td>" in shown
    assert "tester" in shown
