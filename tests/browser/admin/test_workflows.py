"""A day's work of the staff, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from accounts.models import Account
from common.health import build_unknown_health
from credentials.models import Credential
from tests.browser.admin.conftest import PASSWORD, log_in
from tests.browser.conftest import CHROMIUM
from tests.browser.navigation import follow, press
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
LIST = "/admin/credentials/credential/"


def mark_broken(row: Credential, note: str) -> None:
    health = {**build_unknown_health(timezone.now()), "status": "error", "notes": [note]}
    Credential.objects.filter(pk=row.pk).update(health=health)


def test_dashboard_leads_to_broken_credentials(page: Any, account: Account) -> None:
    row = make_credential(account, make_stripe_body(name="Acme Stripe"))
    mark_broken(row, "The provider answered 401.")
    page.goto("/admin/")
    follow(page, "Acme Stripe")
    assert "The provider answered 401." in page.inner_text("main")
    page.get_by_label("Secret:").fill("sk_live_better")
    press(page, "Save")
    assert "changed successfully" in page.inner_text(".messagelist")
    page.goto(f"{LIST}?health=error")
    assert "No credentials match." in page.inner_text("main")


def test_check_on_the_change_page(page: Any, account: Account) -> None:
    row = make_credential(account)
    page.goto(f"{LIST}{row.pk}/change/")
    press(page, "Check now")
    assert str(row) in page.inner_text(".messagelist")


def test_add_by_kind(page: Any, account: Account) -> None:
    page.goto(LIST)
    follow(page, "Add credential")
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("Kind:").select_option("stripe_key")
    press(page, "Continue")
    page.get_by_label("Secret:").fill("sk_live_typed_here")
    page.get_by_label("Name:").last.fill("Billing")
    press(page, "Save")
    assert Credential.objects.get().name == "Billing"
    assert "sk_live_typed_here" not in page.content()


def test_edit_metadata_then_filter_by_it(page: Any, account: Account) -> None:
    row = make_credential(account, make_stripe_body(name="One"))
    make_credential(account, make_stripe_body(name="Two"))
    page.goto(f"{LIST}{row.pk}/change/")
    page.get_by_label("Metadata:").fill('{"team": {"size": 3}}')
    press(page, "Save")
    page.get_by_label("Metadata key").fill("team")
    page.get_by_label("Metadata value").fill('{"size": 3}')
    press(page, "Apply")
    assert page.locator("#result_list tbody tr").count() == 1
    assert page.get_by_role("link", name="One").is_visible()


def test_import_with_two_invalid_lines(page: Any, account: Account) -> None:
    lines = [
        '{"properties": {"kind": "stripe_key", "secret": "sk_live_a"}, "name": "Good"}',
        '{"properties": {"kind": "stripe_key", "scret": "sk_live_b"}}',
        "not json",
    ]
    page.goto("/admin/credentials/import/")
    page.get_by_label("Account:").select_option(label="Acme")
    file = {"name": "c.ndjson", "mimeType": "text/plain", "buffer": "\n".join(lines).encode()}
    page.get_by_label("File:").set_input_files(file)
    press(page, "Preview")
    assert "properties.scret" in page.inner_text("main")
    assert not Credential.objects.exists()
    with page.expect_navigation():
        page.get_by_role("button", name="Import 1").click()
    assert Credential.objects.get().name == "Good"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the report").click()
    assert len(download.value.path().read_text().splitlines()) == 2


def test_admin_works_without_javascript(pages: Any, custodian: User, account: Account) -> None:
    page = log_in(pages(java_script_enabled=False), custodian)
    make_credential(account, make_linear_body(make_app(account), name="Plain"))
    page.goto(LIST)
    page.get_by_label("Provider", exact=True).select_option("linear")
    press(page, "Apply")
    follow(page, "Plain")
    page.get_by_label("Name:", exact=True).fill("Plainer")
    press(page, "Save")
    assert Credential.objects.get().name == "Plainer"


def tab_to(page: Any, name: str) -> None:
    """Press Tab until what has the focus is called `name`."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"({CALLED})(document.activeElement)").strip().rstrip(":") == name:
            return
    raise AssertionError(f"Tab leads to nothing called {name}")


# A label around a menu has the menu's choices in it, on lines of their own.
CALLED = """e => (e.getAttribute("aria-label") || (e.labels && e.labels.length
    ? e.labels[0].textContent : e.textContent.trim() || e.value || "")).trim().split("\\n")[0]"""


def test_admin_works_by_keyboard(page: Any, account: Account) -> None:
    make_credential(account, make_stripe_body(name="Findable"))
    page.goto(LIST)
    tab_to(page, "Skip to main content")
    tab_to(page, "Search")
    page.keyboard.type("findab")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=findab*")
    tab_to(page, "Findable")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/**")
    tab_to(page, "Name")
    page.keyboard.press("End")
    page.keyboard.type(" by keys")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LIST}*")
    assert Credential.objects.get().name == "Findable by keys"


def enter(page: Any) -> None:
    """Press Enter, and wait for the page that it leads to."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_reveal_works_by_keyboard(pages: Any, custodian: User, account: Account) -> None:
    row = make_credential(account, make_stripe_body("sk_live_by_keys", name="Findable"))
    page = pages()
    page.goto(f"{LIST}{row.pk}/change/")
    tab_to(page, "Username")
    page.keyboard.type(custodian.username)
    tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    enter(page)
    tab_to(page, "Reveal a secret")
    enter(page)
    tab_to(page, "Reason")
    page.keyboard.type("A ticket")
    tab_to(page, "Your password")
    page.keyboard.type(PASSWORD)
    enter(page)
    assert page.get_by_text("sk_live_by_keys").is_visible()


def test_bulk_delete_works_by_keyboard(page: Any, account: Account) -> None:
    make_credential(account, make_stripe_body(name="Findable"))
    page.goto(LIST)
    tab_to(page, "Select all objects on this page for an action")
    page.keyboard.press("Space")
    tab_to(page, "Action")
    page.keyboard.type("Delete")
    tab_to(page, "Go")
    enter(page)
    tab_to(page, "Yes, I’m sure")
    enter(page)
    assert "Deleted 1 credential." in page.inner_text(".messagelist")
    assert not Credential.objects.exists()
