"""The list of credentials: pages by id, filters, search."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from credentials.models import Credential, CredentialUse, Grant
from tests.admin.pages import address, text
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body

LIST = address(Credential, "changelist")


@pytest.fixture
def three(account: Account) -> list[Credential]:
    return [make_credential(account, make_stripe_body(name=f"N{n}")) for n in range(3)]


def names(response: Any) -> list[str]:
    return [row.name for row in response.context["cl"].result_list]


def list_names(browser: Client, **query: str) -> list[str]:
    return names(browser.get(LIST, query))


@pytest.fixture
def two_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib import admin

    monkeypatch.setattr(admin.site._registry[Credential], "list_per_page", 2)


def follow(browser: Client, response: Any, rel: str) -> Any:
    (link,) = re.findall(rf'<a href="([^"]+)" rel="{rel}"', text(response))
    return browser.get(LIST + link)


@pytest.mark.usefixtures("two_a_page", "three")
def test_pages_go_forward_and_back(browser: Client) -> None:
    first = browser.get(LIST)
    second = follow(browser, first, "next")
    assert (names(first), names(second)) == (["N2", "N1"], ["N0"])
    assert names(follow(browser, second, "prev")) == ["N2", "N1"]


@pytest.mark.usefixtures("two_a_page", "three")
def test_pages_keep_the_filters(browser: Client) -> None:
    first = browser.get(LIST, {"provider": "stripe", "q": "N"})
    assert names(follow(browser, first, "next")) == ["N0"]


@pytest.mark.usefixtures("three")
def test_lists_use_no_count_and_no_offset(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(20) as queries:
        browser.get(LIST, {"health": "unknown"})
    statements = " ".join(query["sql"] for query in queries.captured_queries)
    assert "COUNT(" not in statements
    assert "OFFSET" not in statements


@pytest.mark.usefixtures("three")
def test_invalid_cursor_shows_the_first_page(browser: Client) -> None:
    response = browser.get(LIST, {"before": "nonsense"})
    assert response.status_code == 302


@pytest.fixture
def rows(account: Account) -> None:
    now = timezone.now()
    ends = {"past": -1, "soon": 3, "month": 20, "later": 90}
    for name, days in ends.items():
        row = make_credential(
            account, make_stripe_body(name=name, metadata={"days": days, "n": name})
        )
        Credential.objects.filter(pk=row.pk).update(expires_at=now + dt.timedelta(days=days))
    used = make_credential(account, make_stripe_body(name="used", metadata={"n": {"a": [1, 2]}}))
    CredentialUse.objects.create(credential=used, last_used_at=now - dt.timedelta(hours=1))


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"expires": "past"}, {"past"}),
        ({"expires": "7"}, {"soon"}),
        ({"expires": "30"}, {"soon", "month"}),
        ({"expires": "later"}, {"later"}),
        ({"expires": "never"}, {"used"}),
        ({"expires": "nonsense"}, set()),
        ({"used": "1"}, {"used"}),
        ({"used": "never"}, {"past", "soon", "month", "later"}),
        ({"used": "not30"}, set()),
        ({"metadata_key": "days", "metadata_value": "3"}, {"soon"}),
        ({"metadata_key": "days", "metadata_value": '"3"'}, set()),
        ({"metadata_key": "n", "metadata_value": "soon"}, {"soon"}),
        ({"metadata_key": "n", "metadata_value": '{"a": [2]}'}, {"used"}),
        ({"metadata_key": "days"}, set()),
        ({"metadata_value": "3"}, set()),
        ({"metadata_key": "days", "metadata_value": "null"}, set()),
        ({"refresh_state": "needs_reauth"}, set()),
        ({"refresh_state": "nonsense"}, set()),
        ({"account": "nobody"}, set()),
        ({"oauth_app": "nonsense"}, set()),
        ({"provider": "", "health": "", "metadata_key": ""}, {"past", "soon", "month", "later", "used"}),
    ],
)  # fmt: skip
def test_filters_narrow_the_list(browser: Client, query: dict[str, str], found: set[str]) -> None:
    assert set(list_names(browser, **query)) == found


def test_half_a_metadata_filter_matches_nothing(browser: Client, account: Account) -> None:
    assert "type both a key and a value" in text(browser.get(LIST, {"metadata_key": "x"}))


def test_filter_by_refresh_state(browser: Client, account: Account) -> None:
    rows = [
        make_credential(
            account,
            make_linear_body(make_app(account), name=name, properties={"linear_org_id": name}),
        )
        for name in ("ended", "due")
    ]
    make_credential(account)
    Grant.objects.filter(credentials=rows[0].id).update(state="needs_reauth")
    Credential.objects.filter(pk=rows[1].pk).update(expires_at=timezone.now())
    assert list_names(browser, refresh_state="needs_reauth") == ["ended"]
    assert list_names(browser, refresh_state="due") == ["due"]


def test_filter_by_app(browser: Client, account: Account) -> None:
    app = make_app(account)
    make_credential(account, make_linear_body(app, name="Linear"))
    make_credential(account)
    assert list_names(browser, oauth_app=str(app.pk)) == ["Linear"]


@pytest.mark.parametrize("typed", ["org-77", " org-77 ", "ext-9", "EXT", "part of", "ann@"])
def test_search(browser: Client, account: Account, typed: str) -> None:
    make_credential(account)
    more = {"name": "A Part of it", "external_id": "Ext-9", "owner_email": "ann@acme.example"}
    sent = make_linear_body(make_app(account), properties={"linear_org_id": "org-77"}, **more)
    make_credential(account, sent)
    assert list_names(browser, q=typed) == ["A Part of it"]


def test_search_finds_a_number_of_the_provider(browser: Client, account: Account) -> None:
    app = make_app(account, "hubspot")
    sent = {
        "properties": {"kind": "hubspot_oauth2", "hub_id": 4711, "refresh_token": "r"},
        "oauth_app_id": str(app.pk),
        "name": "Hub",
    }
    make_credential(account, sent)
    assert list_names(browser, q="4711") == ["Hub"]


def test_search_finds_the_name_in_the_properties(browser: Client, account: Account) -> None:
    row = make_credential(account)
    assert [
        found.pk for found in browser.get(LIST, {"q": "choam str"}).context["cl"].result_list
    ] == [row.pk]


@pytest.mark.parametrize("typed", ["100%", "_", "\\", "'", '"', "**********", "sk_test_"])
def test_search_has_no_patterns_and_no_secrets(
    browser: Client, account: Account, typed: str
) -> None:
    make_credential(account)
    assert browser.get(LIST, {"q": typed}).context["cl"].result_count == 0


def test_empty_list_says_what_to_do(browser: Client, account: Account) -> None:
    assert "There are no credentials yet." in text(browser.get(LIST))
    assert "No credentials match." in text(browser.get(LIST, {"q": "nobody"}))


def test_exact_time_is_in_the_tooltip(browser: Client, account: Account) -> None:
    row = make_credential(account)
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    Credential.objects.filter(pk=row.pk).update(expires_at=moment)
    assert 'title="2026-01-02 03:04:05 UTC"' in text(browser.get(LIST))
