"""The second factor, from the first look at its page to the door."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.contrib.auth.models import User
from django_otp.oath import totp

from tests.accounts.factor import clear_throttling, compute_code, make_authenticator
from tests.browser.admin.conftest import PASSWORD, log_in
from tests.browser.conftest import CHROMIUM
from tests.browser.navigation import follow, press

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]


def test_login_requires_the_second_factor(pages: Any, custodian: User) -> None:
    make_authenticator(custodian)
    page = log_in(pages(), custodian)
    assert "one-time code is wrong." in page.inner_text("body")
    clear_throttling()
    log_in(page, custodian, compute_code())
    assert page.get_by_role("heading", name="Dashboard").is_visible()


def test_setup_then_login_with_a_recovery_code(page: Any, pages: Any, custodian: User) -> None:
    page.goto("/admin/")
    follow(page, "Second factor")
    page.get_by_label("Your password:").fill(PASSWORD)
    press(page, "Show me a key")
    key = page.locator("code.lk-token").first.inner_text()
    page.get_by_label("The code that your app shows now:").fill(f"{totp(key_bytes(key)):06}")
    press(page, "Turn it on")
    codes = page.locator("code.lk-token").all_inner_texts()
    assert len(codes) == 10
    follow(page, "I have saved them")
    assert "Your second factor is on." in page.inner_text("main")
    assert codes[0] not in page.content()

    other = log_in(pages(), custodian, codes[0])
    assert other.get_by_role("heading", name="Dashboard").is_visible()
    again = log_in(pages(), custodian, codes[0])
    assert "one-time code is wrong." in again.inner_text("body")


def key_bytes(shown: str) -> bytes:
    return base64.b32decode(shown.replace(" ", ""))
