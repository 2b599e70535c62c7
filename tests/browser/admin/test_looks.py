"""What the pages look like to everybody: dark, small, and under a policy that allows nothing odd."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from accounts.models import Account
from credentials.models import Credential
from tests.browser.admin.conftest import CHROMIUM, log_in
from tests.factories import make_app, make_credential, make_token, stripe_body

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
LIST = "/admin/credentials/credential/"


@pytest.fixture
def row(account: Account) -> Credential:
    make_app(account)
    make_token(account)
    return make_credential(account, stripe_body(name="A rather long name of a credential"))


def addresses(row: Credential) -> list[str]:
    return [
        "/admin/",
        LIST,
        f"{LIST}add/",
        f"{LIST}add/?account={row.account_id}&kind=stripe_key",
        f"{LIST}{row.pk}/change/",
        f"{LIST}{row.pk}/history/",
        f"{LIST}{row.pk}/delete/",
        f"{LIST}{row.pk}/reveal/",
        "/admin/credentials/import/",
        "/admin/oauth_apps/oauthapp/",
        "/admin/oauth_apps/oauthapp/add/",
        "/admin/accounts/apitoken/",
        "/admin/accounts/apitoken/add/",
        "/admin/events/event/",
        "/admin/password_change/",
    ]


def test_no_page_complains_or_breaks_the_policy(page: Any, row: Credential) -> None:
    for path in addresses(row):
        answer = page.goto(path)
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy


def test_nothing_is_wider_than_a_phone(pages: Any, custodian: User, row: Credential) -> None:
    page = log_in(pages(viewport={"width": 375, "height": 667}), custodian)
    for path in addresses(row):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path


def test_dark_is_dark(pages: Any, custodian: User, row: Credential) -> None:
    page = log_in(pages(color_scheme="dark"), custodian)
    page.goto(LIST)
    surface = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert surface == "rgb(18, 23, 30)"


def test_the_chosen_theme_is_kept(pages: Any, custodian: User, row: Credential) -> None:
    page = log_in(pages(color_scheme="dark"), custodian)
    page.locator(".theme-toggle").click()
    page.goto(LIST)
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    surface = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert surface == "rgb(246, 247, 249)"


def test_every_box_of_a_form_has_a_name(page: Any, row: Credential) -> None:
    for path in addresses(row):
        page.goto(path)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll(
                 "main input:not([type=hidden]):not([type=submit]), main select, main textarea")]
               .filter(e => !e.labels.length && !e.getAttribute("aria-label")).map(e => e.name)"""
        )
        assert nameless == [], path
