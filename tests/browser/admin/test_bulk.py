"""What is done to many credentials of the list at once."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from accounts.models import Account
from credentials.models import Credential, Revocation
from tests.browser.admin.conftest import choose_all
from tests.browser.conftest import CHROMIUM
from tests.browser.navigation import press
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
LIST = "/admin/credentials/credential/"


@pytest.fixture
def rows(account: Account) -> list[Credential]:
    """A key that its provider does not revoke, and a grant that it does."""
    return [
        make_credential(account, make_stripe_body("sk_live_one", name="One")),
        make_credential(account, make_linear_body(make_app(account), name="Two")),
    ]


def test_action_reports_the_result_of_each_row(page: Any, rows: list[Credential]) -> None:
    page.goto(LIST)
    choose_all(page, "Refresh now: get a new access token")
    content = page.inner_text(".messagelist")
    assert "One: " in content
    assert "Two: " in content


def test_bulk_edit_of_metadata(page: Any, rows: list[Credential]) -> None:
    page.goto(LIST)
    choose_all(page, "Edit metadata of selected")
    page.get_by_label("Merge into the metadata:").fill('{"team": ')
    press(page, "Edit metadata")
    assert "does not parse" in page.inner_text("main")
    page.get_by_label("Merge into the metadata:").fill('{"team": "ops"}')
    press(page, "Edit metadata")
    assert page.inner_text(".messagelist").count("metadata edited.") == 2
    assert [row.metadata for row in Credential.objects.all()] == [{"team": "ops"}] * 2


def test_bulk_move_to_another_app(page: Any, account: Account, rows: list[Credential]) -> None:
    other = make_app(account, name="The new one")
    page.goto(f"{LIST}?provider=linear")
    choose_all(page, "Move to another OAuth app")
    page.get_by_label("OAuth app:").select_option(label="The new one")
    press(page, "Move to another OAuth app")
    assert "Two: moved to The new one." in page.inner_text(".messagelist")
    assert Credential.objects.get(pk=rows[1].pk).oauth_app_id == other.pk


def test_delete_confirmation_says_what_is_revoked(page: Any, rows: list[Credential]) -> None:
    page.goto(LIST)
    choose_all(page, "Delete selected credentials")
    content = page.inner_text("main")
    assert "Two (linear_oauth2): its access is revoked at the provider, too" in content
    assert "One (stripe_key): its provider cannot revoke it here" in content
    press(page, "Yes, I’m sure")
    assert "Deleted 2 credentials." in page.inner_text(".messagelist")
    assert "There are no credentials yet." in page.inner_text("main")
    assert Revocation.objects.filter(kind="linear_oauth2").exists()


def test_export_has_no_secret(page: Any, rows: list[Credential]) -> None:
    page.goto(LIST)
    page.get_by_label("Select all objects on this page").check()
    page.get_by_label("Action:").select_option(label="Export selected as CSV, without secrets")
    with page.expect_download() as download:
        page.get_by_role("button", name="Go").click()
    text = download.value.path().read_text()
    assert [row["name"] for row in csv.DictReader(text.splitlines())] == ["Two", "One"]
    assert "sk_live_one" not in text
    assert "lin_refresh_first" not in text
