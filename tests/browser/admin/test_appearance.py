"""The dark theme, and the page for a forbidden address."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.browser.admin.conftest import log_in
from tests.browser.conftest import CHROMIUM

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
SURFACE = "getComputedStyle(document.body).backgroundColor"


def test_dark_theme_follows_the_system_and_the_choice(pages: Any, custodian: User) -> None:
    page = log_in(pages(color_scheme="dark"), custodian)
    assert page.evaluate(SURFACE) == "rgb(18, 23, 30)"
    page.locator(".theme-toggle").click()
    page.goto("/admin/credentials/credential/")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(SURFACE) == "rgb(246, 247, 249)"


def test_forbidden_page_explains_itself(pages: Any, custodian: User) -> None:
    page = log_in(pages(), custodian)
    assert page.goto("/admin/auth/user/").status == 403
    assert page.get_by_role("heading", name="You may not view this page.").is_visible()
