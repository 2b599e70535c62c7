"""A secret goes in, is seen by few, and is found again by its fingerprint."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from accounts.models import Account
from common.actors import Actor
from credentials.models import Credential, Reveal
from credentials.services.reveal import MAX_REVEALS_PER_HOUR, credential_reveal
from tests.browser.admin.conftest import PASSWORD
from tests.browser.conftest import CHROMIUM
from tests.browser.navigation import follow, press
from tests.factories import TESTER, make_credential, make_stripe_body

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
LIST = "/admin/credentials/credential/"


@pytest.fixture
def row(account: Account) -> Credential:
    return make_credential(account, make_stripe_body("sk_live_seen_once", name="Billing"))


def ask(page: Any, row: Credential, reason: str, password: str) -> Any:
    """Submit the form of a reveal, and return the response."""
    page.goto(f"{LIST}{row.pk}/reveal/")
    page.get_by_label("Reason:").fill(reason)
    page.get_by_label("Your password:").fill(password)
    with page.expect_navigation() as went:
        page.get_by_role("button", name="Reveal").click()
    return went.value


def test_rotate_replaces_the_secret(page: Any, row: Credential) -> None:
    page.goto(f"{LIST}{row.pk}/change/")
    page.get_by_label("Secret:").fill("sk_live_next")
    press(page, "Save and continue editing")
    assert "sk_live_next" not in page.content()
    assert page.get_by_label("Secret:").input_value() == ""
    assert page.locator("td", has_text="credential.rotated").is_visible()
    revealed = credential_reveal(account_id=row.account_id, id=row.pk, actor=TESTER, reason="test")
    assert revealed["secret"] == "sk_live_next"


def test_revealed_secret_is_recorded_and_hidden_again(page: Any, row: Credential) -> None:
    headers = ask(page, row, "A customer asks", PASSWORD).headers
    assert page.get_by_text("sk_live_seen_once").is_visible()
    assert "no-store" in headers["cache-control"]
    assert headers["refresh"].startswith("30; url=/admin/")
    assert Reveal.objects.get().reason == "A customer asks"
    follow(page, "Hide it now")
    assert "sk_live_seen_once" not in page.content()


@pytest.mark.parametrize(
    ("reason", "password", "said"),
    [
        ("A customer asks", "wrong", "password is wrong"),
        ("", PASSWORD, "This field is required."),
        ("A customer asks", "", "This field is required."),
    ],
    ids=["wrong password", "no reason", "no password"],
)
def test_reveal_rejects_a_wrong_password(
    page: Any, row: Credential, reason: str, password: str, said: str
) -> None:
    ask(page, row, reason, password)
    assert said in page.inner_text("main")
    assert "sk_live_seen_once" not in page.content()
    assert not Reveal.objects.exists()


def test_eleventh_reveal_of_an_hour_is_rejected(
    page: Any, custodian: User, row: Credential
) -> None:
    who = Actor(name=f"user:{custodian.pk}")
    for _ in range(MAX_REVEALS_PER_HOUR):
        credential_reveal(account_id=row.account_id, id=row.pk, actor=who, reason="test")
    ask(page, row, "One more", PASSWORD)
    assert f"You have used the {MAX_REVEALS_PER_HOUR} reveals" in page.inner_text("main")
    assert "sk_live_seen_once" not in page.content()


def test_leaked_secret_is_found(page: Any, row: Credential) -> None:
    page.goto(LIST)
    follow(page, "Find a leaked secret")
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("Secret:").fill("sk_live_seen_once")
    press(page, "Find")
    assert page.get_by_role("link", name="Billing").is_visible()
    assert "sk_live_seen_once" not in page.content() + page.url
    page.get_by_label("Secret:").fill("sk_live_nobody_s")
    press(page, "Find")
    assert "No credential of this account has this secret" in page.inner_text("main")
