from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import Account
from credentials.models import Credential
from credentials.services.leak_search import FingerprintArray
from credentials.services.rotate import credential_rotate
from events.models import Event
from tests.admin.pages import text
from tests.factories import TESTER, make_account, make_credential, make_stripe_body

PAGE = "/admin/credentials/credential/find-secret/"
SECRET = "sk_live_CANARY7f3a"


def find(browser: Client, account: Account, secret: str = SECRET) -> Any:
    return browser.post(PAGE, {"account": account.pk, "secret": secret})


def test_search_finds_the_credential_without_decrypting(
    browser: Client, account: Account, django_assert_max_num_queries: Any
) -> None:
    make_credential(account, make_stripe_body(SECRET, name="Leaked one"))
    make_credential(account, make_stripe_body(name="Other one"))
    with django_assert_max_num_queries(20) as queries:
        response = find(browser, account)
    statements = " ".join(query["sql"] for query in queries.captured_queries)
    assert '"credentials_credential"."secrets"' not in statements
    assert '"credentials_credential"."previous"' not in statements
    shown = text(response)
    assert "Leaked one" in shown
    assert "Other one" not in shown
    assert SECRET not in shown
    assert "no-store" in response["Cache-Control"]
    assert Event.objects.get(verb="account.secret_searched").actor.startswith("user:")


def test_search_finds_a_former_secret(browser: Client, account: Account) -> None:
    row = make_credential(account, make_stripe_body(SECRET, name="Rotated one"))
    credential_rotate(
        account_id=account.pk, id=row.pk, actor=TESTER, properties={"secret": "sk_live_next"}
    )
    assert "Rotated one" in text(find(browser, account))


def test_search_is_limited_to_the_account(browser: Client, account: Account) -> None:
    make_credential(account, make_stripe_body(SECRET))
    assert "No credential of this account" in text(find(browser, make_account()))


def test_search_takes_the_secret_in_the_body_only(browser: Client, account: Account) -> None:
    make_credential(account, make_stripe_body(SECRET, name="Leaked one"))
    shown = text(browser.get(PAGE, {"account": str(account.pk), "secret": SECRET}))
    assert "Leaked one" not in shown


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no index for it")
def test_search_uses_the_index(db: None) -> None:
    rows = Credential.objects.alias(prints=FingerprintArray()).filter(prints__jsoncontains=["x"])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "credential_fingerprints" in rows.explain()
