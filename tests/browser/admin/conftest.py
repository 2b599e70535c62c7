from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from accounts.groups import groups_ensure
from accounts.models import Account
from tests.factories import make_account, make_staff

CHROMIUM = shutil.which("chromium")
PASSWORD = "correct horse"
HOSTILE = """"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed")
    from playwright.sync_api import sync_playwright

    # Playwright runs a loop in this thread, in which Django refuses its ORM; nothing here awaits.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def site(live_server: Any, settings: Any) -> str:
    groups_ensure()
    settings.PUBLIC_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    return str(live_server.url)


@pytest.fixture
def account(site: str) -> Account:
    return make_account("Acme")


@pytest.fixture
def custodian(site: str) -> User:
    return make_staff("Custodian", password=PASSWORD)


@pytest.fixture
def pages(chromium: Any, site: str) -> Iterator[Callable[..., Any]]:
    """Pages of browsers that share nothing. The test fails if one complains, or if a script asks."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def heard(said: Any) -> None:
        if said.type == "error":
            complaints.append(said.text)

    def asked(dialog: Any) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    def opened(**options: Any) -> Any:
        context = chromium.new_context(base_url=site, **options)
        context.set_default_timeout(8_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", asked)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def log_in(page: Any, user: User, code: str = "") -> Any:
    page.goto("/admin/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("One-time code").fill(code)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_load_state()
    return page


@pytest.fixture
def page(pages: Callable[..., Any], custodian: User) -> Any:
    """A Custodian's browser, logged in."""
    return log_in(pages(), custodian)
