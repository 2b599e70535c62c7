"""A day's work of the staff, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import Account
from common.health import unknown
from credentials.models import Credential, Reveal
from tests.browser.admin.conftest import CHROMIUM, HOSTILE, PASSWORD, log_in
from tests.factories import linear_body, make_app, make_credential, stripe_body

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
LIST = "/admin/credentials/credential/"


def break_it(row: Credential, note: str) -> None:
    health = {**unknown(timezone.now()), "status": "error", "notes": [note]}
    Credential.objects.filter(pk=row.pk).update(health=health)


def code_of(device: TOTPDevice) -> str:
    return f"{totp(device.bin_key):06}"


def test_login_wants_the_second_factor(pages: Any, custodian: User) -> None:
    device = TOTPDevice.objects.create(user=custodian, name="phone", confirmed=True)
    page = log_in(pages(), custodian)
    assert "The one-time code is missing or wrong." in page.inner_text("body")
    TOTPDevice.objects.update(throttling_failure_count=0)
    log_in(page, custodian, code_of(device))
    assert page.get_by_role("heading", name="Dashboard").is_visible()


def test_triage_from_the_dashboard(page: Any, account: Account) -> None:
    row = make_credential(account, stripe_body(name="Acme Stripe"))
    break_it(row, "The provider answered 401.")
    page.goto("/admin/")
    page.get_by_role("link", name="Acme Stripe").click()
    assert "The provider answered 401." in page.inner_text("main")
    page.get_by_label("Secret:").fill("sk_live_better")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{LIST}*")
    assert "changed successfully" in page.inner_text(".messagelist")
    page.goto(f"{LIST}?health=error")
    assert "No credentials match." in page.inner_text("main")


def test_adding_by_kind(page: Any, account: Account) -> None:
    page.goto(LIST)
    page.get_by_role("link", name="Add credential").click()
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("Kind:").select_option("stripe_key")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Secret:").fill("sk_live_typed_here")
    page.get_by_label("Name:").last.fill("Billing")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{LIST}*")
    assert Credential.objects.get().name == "Billing"
    assert "sk_live_typed_here" not in page.content()


def test_editing_metadata_then_finding_by_it(page: Any, account: Account) -> None:
    row = make_credential(account, stripe_body(name="One"))
    make_credential(account, stripe_body(name="Two"))
    page.goto(f"{LIST}{row.pk}/change/")
    page.get_by_label("Metadata:").fill('{"team": {"size": 3}}')
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{LIST}*")
    page.get_by_label("Metadata key").fill("team")
    page.get_by_label("Metadata value").fill('{"size": 3}')
    page.get_by_role("button", name="Apply").click()
    page.wait_for_load_state()
    assert page.locator("#result_list tbody tr").count() == 1
    assert page.get_by_role("link", name="One").is_visible()


def test_reveal_wants_password_and_reason_and_hides_again(page: Any, account: Account) -> None:
    row = make_credential(account, stripe_body("sk_live_seen_once"))
    page.goto(f"{LIST}{row.pk}/change/")
    page.get_by_role("link", name="Reveal a secret").click()
    page.get_by_label("Reason:").fill("A customer asks")
    page.get_by_label("Your password:").fill("wrong")
    page.get_by_role("button", name="Reveal").click()
    assert "password is wrong" in page.inner_text("main")
    assert not Reveal.objects.exists()
    page.get_by_label("Reason:").fill("A customer asks")
    page.get_by_label("Your password:").fill(PASSWORD)
    with page.expect_navigation() as went:
        page.get_by_role("button", name="Reveal").click()
    assert page.get_by_text("sk_live_seen_once").is_visible()
    headers = went.value.headers
    assert "no-store" in headers["cache-control"]
    assert headers["refresh"].startswith("30; url=/admin/")
    assert Reveal.objects.get().reason == "A customer asks"
    page.get_by_role("link", name="Hide it now").click()
    assert "sk_live_seen_once" not in page.content()


def test_an_import_with_two_bad_lines(page: Any, account: Account) -> None:
    lines = [
        '{"properties": {"kind": "stripe_key", "secret": "sk_live_a"}, "name": "Good"}',
        '{"properties": {"kind": "stripe_key", "scret": "sk_live_b"}}',
        "not json",
    ]
    page.goto("/admin/credentials/import/")
    page.get_by_label("Account:").select_option(label="Acme")
    file = {"name": "c.ndjson", "mimeType": "text/plain", "buffer": "\n".join(lines).encode()}
    page.get_by_label("File:").set_input_files(file)
    page.get_by_role("button", name="Preview").click()
    page.wait_for_load_state()
    assert "properties.scret" in page.inner_text("main")
    assert not Credential.objects.exists()
    page.get_by_role("button", name="Import 1").click()
    page.wait_for_load_state()
    assert Credential.objects.get().name == "Good"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the report").click()
    assert len(download.value.path().read_text().splitlines()) == 2


def test_an_action_on_many_says_what_it_did(page: Any, account: Account) -> None:
    for name in ("One", "Two"):
        make_credential(account, stripe_body(name=name))
    page.goto(LIST)
    page.get_by_label("Select all objects on this page").check()
    page.get_by_label("Action:").select_option(label="Refresh now: get a new access token")
    page.get_by_role("button", name="Go").click()
    page.wait_for_load_state()
    said = page.inner_text(".messagelist")
    assert "One: " in said
    assert "Two: " in said


def test_it_works_without_javascript(pages: Any, custodian: User, account: Account) -> None:
    page = log_in(pages(java_script_enabled=False), custodian)
    make_credential(account, linear_body(make_app(account), name="Plain"))
    page.goto(LIST)
    page.get_by_label("Provider", exact=True).select_option("linear")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Plain").click()
    page.get_by_label("Name:", exact=True).fill("Plainer")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{LIST}*")
    assert Credential.objects.get().name == "Plainer"


def test_by_keyboard_alone(page: Any, account: Account) -> None:
    make_credential(account, stripe_body(name="Findable"))
    page.goto(LIST)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Skip to main content"
    page.locator("#searchbar").focus()
    page.keyboard.type("findab")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=findab*")
    page.get_by_role("link", name="Findable").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/**")


def test_hostile_names_and_notes_run_nothing(page: Any, account: Account) -> None:
    row = make_credential(
        account, stripe_body(name=HOSTILE, metadata={"x": HOSTILE}, external_id=HOSTILE)
    )
    break_it(row, HOSTILE)
    for path in (
        "/admin/",
        LIST,
        f"{LIST}?q=alert",
        f"{LIST}{row.pk}/change/",
        f"{LIST}{row.pk}/history/",
        f"{LIST}{row.pk}/delete/",
        f"{LIST}{row.pk}/reveal/",
        "/admin/events/event/",
    ):
        page.goto(path)
        assert page.locator("img[src=x]").count() == 0, path
