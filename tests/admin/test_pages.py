"""Every page of the admin opens, decrypts nothing, and has no secret."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory

from accounts.models import Account
from accounts.services import session_open
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from oauth_apps.services import oauth_app_update
from oauth_apps.validation import signs_requests
from providers.registry import get_registry
from tests.admin.pages import address, all_addresses, text
from tests.factories import TESTER, make_account, make_app, make_credential, make_staff, make_token

MARK = "CANARY7f3a"


@pytest.fixture
def canaries(account: Account, superuser: User) -> list[str]:
    """A row for each set of secret fields, with a mark in each; what else must never be shown.

    The pages show kinds with the same secret fields in the same way.
    """
    kinds = [kind for kind in get_registry().kinds.values() if kind.provider != "custom"]
    examples = {(kind.needs_app, *kind.secret_fields): kind for kind in kinds}
    assert len(examples) > 10
    for kind in examples.values():
        properties = dict(kind.example)
        for field in kind.secret_fields:
            if field in properties:
                properties[field] = f"{MARK}{properties[field]}"
        body: dict[str, Any] = {"properties": properties, "external_id": kind.name}
        if kind.needs_app:
            # A private key cannot contain the mark.
            secret = {} if signs_requests(kind.provider) else {"client_secret": f"{MARK} old"}
            app = make_app(account, kind.provider, **secret)
            body["oauth_app_id"] = str(app.id)
        make_credential(account, body)
    oauth_app_update(
        account_id=account.id,
        id=make_app(account).id,
        actor=TESTER,
        changes={"client_secret": f"{MARK} new"},
    )
    _, session = session_open(user=superuser, account_id=account.id, actor=TESTER)
    return [MARK, base64.b64encode(MARK.encode()).decode()[:12], make_token(account), session]


def _addresses(user: User) -> list[str]:
    request = RequestFactory().get("/")
    request.user = user
    return list(all_addresses(request))


def test_no_page_has_a_secret_or_decrypts_one(
    browser: Client, superuser: User, canaries: list[str], no_unsealing: None
) -> None:
    addresses = _addresses(superuser)
    assert len(addresses) > 80
    for page in addresses:
        response = browser.get(page)
        assert response.status_code == 200, page
        shown = text(response)
        assert not [canary for canary in canaries if canary in shown], page


def test_every_page_opens_with_view_permissions(account: Account) -> None:
    make_credential(account)
    make_app(account)
    make_token(account)
    viewer = make_staff()
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(viewer)
    for page in _addresses(viewer):
        assert client.get(page).status_code == 200, page


def test_no_page_has_inline_scripts_or_styles(
    browser: Client, superuser: User, account: Account
) -> None:
    credential = make_credential(account)
    for page in (
        address(Credential, "changelist"),
        address(Credential, "change", credential.pk),
        address(OAuthApp, "add"),
    ):
        shown = text(browser.get(page))
        assert "<style" not in shown
        assert " style=" not in shown
        assert " onclick=" not in shown
        assert "<script>" not in shown


def test_pages_have_the_title_and_the_style_sheet(browser: Client) -> None:
    shown = text(browser.get("/admin/"))
    assert "| Latchkey</title>" in shown
    assert "/static/latchkey/admin.css" in shown


@pytest.mark.django_db
def test_pages_are_for_staff_only() -> None:
    response = Client().get(address(Credential, "changelist"))
    assert response.status_code == 302


@pytest.mark.parametrize("model", [Credential, OAuthApp])
def test_number_of_queries_does_not_depend_on_rows(
    browser: Client, account: Account, model: type[Any], django_assert_max_num_queries: Any
) -> None:
    def add() -> None:
        make_credential(make_account())
        make_app(make_account())

    add()
    page = address(model, "changelist")
    with django_assert_max_num_queries(20) as before:
        browser.get(page)
    for _ in range(5):
        add()
    with django_assert_max_num_queries(len(before)):
        browser.get(page)


def test_lists_load_no_sealed_column(
    browser: Client, account: Account, django_assert_max_num_queries: Any
) -> None:
    make_credential(account)
    with django_assert_max_num_queries(20) as queries:
        browser.get(address(Credential, "changelist"))
    statements = " ".join(query["sql"] for query in queries.captured_queries)
    assert '"credentials_credential"."secrets"' not in statements
    assert '"credentials_credential"."identity"' not in statements


def test_counting_stops_at_the_limit(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.admin.model_admin.CappedPaginator.limit", 2)
    for _ in range(3):
        make_app(account)
    assert "more than 2 OAuth apps" in text(browser.get(address(OAuthApp, "changelist")))
