"""Steps from one page to the next: each waits for the next page before it returns.

A click alone does not wait, so what a test read after it could still be the former page.
"""

from __future__ import annotations

from typing import Any


def press(page: Any, name: str) -> None:
    """Press a button, and wait for the next page."""
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).click()


def follow(page: Any, name: str) -> None:
    """Follow a link, and wait for the next page."""
    with page.expect_navigation():
        page.get_by_role("link", name=name).first.click()
