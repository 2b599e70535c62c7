"""The history page of an object: the events about it, with actors and fields but without values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, ApiToken
from common.actors import Actor
from credentials.models import Credential
from credentials.services.custom_providers import custom_provider_create
from credentials.services.reveal import credential_reveal
from events.services import EventTarget, record_event
from tests.admin.pages import address, text
from tests.factories import (
    TESTER,
    make_app,
    make_credential,
    make_endpoint,
    make_link,
    make_token,
)  # fmt: skip


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
def test_history_has_events_of_other_actors(
    browser: Client, account: Account, make: Callable[[Account], Any], verb: str
) -> None:
    row = make(account)
    shown = text(browser.get(address(type(row), "history", row.pk)))
    assert f"<td>{verb}</td>" in shown
    assert "tester" in shown


def record_use(row: Credential, actor: Actor = TESTER, **detail: str | int) -> None:
    target = EventTarget("credential", row.account_id, row.pk)
    record_event(actor, target, "credential.used", detail=detail or None)


@pytest.mark.parametrize("page", ["history", "change"])
def test_history_has_the_result_of_a_use(browser: Client, account: Account, page: str) -> None:
    row = make_credential(account)
    record_use(row, method="GET", path="/v1/charges/*", status=200, ms=35)
    shown = text(browser.get(address(Credential, page, row.pk)))
    assert "<td>GET /v1/charges/*: 200, 35 ms</td>" in shown


@pytest.mark.parametrize("page", ["history", "change"])
def test_history_has_the_escaped_reason_of_a_reveal(
    browser: Client, account: Account, page: str
) -> None:
    row = make_credential(account)
    reason = "<b onclick=x>Ticket</b> 7"
    credential_reveal(account_id=account.pk, id=row.pk, actor=TESTER, reason=reason)
    shown = browser.get(address(Credential, page, row.pk)).content.decode()
    assert "<td>secret: “&lt;b onclick=x&gt;Ticket&lt;/b&gt; 7”</td>" in shown


def test_history_names_tokens_with_one_query(browser: Client, account: Account) -> None:
    row, token = make_credential(account), _token(account)
    other = ApiToken.objects.create(account=account, name="<i>ci</i>", digest=b"2" * 32)
    gone = "01a10000-0000-7000-8000-000000000000"
    for id in (token.pk, other.pk, gone, "none"):
        record_use(row, Actor(name=f"token:{id}"))
    with CaptureQueriesContext(connection) as asked:
        shown = browser.get(address(Credential, "history", row.pk)).content.decode()
    assert f">“test” token:{token.pk}</td>" in shown
    assert f">“&lt;i&gt;ci&lt;/i&gt;” token:{other.pk}</td>" in shown
    assert f">token:{gone}</td>" in shown
    assert ">token:none</td>" in shown
    assert sum("accounts_apitoken" in query["sql"] for query in asked) == 1
