from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from accounts.groups import reset_groups
from accounts.models import Account
from tests.browser.navigation import press
from tests.factories import make_account, make_staff

PASSWORD = "correct horse"
HOSTILE = """"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}"""


@pytest.fixture
def site(live_server: Any, settings: Any) -> str:
    reset_groups()
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
    """Open pages in separate browsers. The test fails on an error in a console, or on a dialog."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def on_console(message: Any) -> None:
        # A test may open a forbidden page on purpose.
        if message.type == "error" and "status of 403" not in message.text:
            complaints.append(message.text)

    def on_dialog(dialog: Any) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    def open_page(**options: Any) -> Any:
        context = chromium.new_context(base_url=site, **options)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", on_dialog)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def choose_all(page: Any, action: str) -> None:
    """Run this action on every row of the page's list."""
    page.get_by_label("Select all objects on this page").check()
    page.get_by_label("Action:").select_option(label=action)
    press(page, "Go")


def log_in(page: Any, user: User, code: str = "") -> Any:
    page.goto("/admin/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("One-time code").fill(code)
    press(page, "Log in")
    return page


@pytest.fixture
def page(pages: Callable[..., Any], custodian: User) -> Any:
    """A Custodian's browser, logged in."""
    return log_in(pages(), custodian)
