"""What is true of every page that the URL configuration has, with hostile text wherever it can be."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from accounts.models import Account
from tests.browser.admin.conftest import HOSTILE, PASSWORD, log_in
from tests.browser.conftest import CHROMIUM
from tools.staging.pages import list_pages
from tools.staging.rows import make_one_of_each

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
PHONE = {"width": 375, "height": 667}
NAMELESS = """() => {
  const boxes = [...document.querySelectorAll(
    "input:not([type=hidden]):not([type=submit]), select, textarea")]
    .filter(e => e.checkVisibility() && !e.labels.length && !e.getAttribute("aria-label")).map(e => e.name);
  const others = [...document.querySelectorAll("a[href], button, summary, input[type=submit]")]
    .filter(e => !(e.textContent.trim() || e.value || e.getAttribute("aria-label") ||
      e.title || e.querySelector("[title]")))
    .map(e => e.outerHTML.slice(0, 80));
  return [...boxes, ...others];
}"""


@pytest.fixture
def superuser(site: str) -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


def faults(page: Any, path: str) -> list[str]:
    """What is wrong with the page at `path`, in words. Its complaints are the fixture's to tell."""
    response = page.goto(path)
    found = []
    # Objects that staff cannot add or delete have such pages, which are forbidden for all.
    closed = response.status == 403 and path.endswith(("/add/", "/delete/"))
    if response.status != 200 and not closed:
        found.append(f"status {response.status}")
    policy = response.headers.get("content-security-policy", "")
    if "default-src 'self'" not in policy or "unsafe" in policy:
        found.append(f"policy {policy!r}")
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > PHONE["width"]:
        found.append(f"{width} pixels wide")
    if page.locator("img[src=x]").count():
        found.append("shows somebody's text as HTML")
    if nameless := page.evaluate(NAMELESS):
        found.append(f"controls without a name: {nameless}")
    return [f"{path}: {fault}" for fault in found]


def test_every_page_with_hostile_text_on_a_phone(
    pages: Any, superuser: User, account: Account
) -> None:
    make_one_of_each(account, superuser, HOSTILE, HOSTILE)
    page = log_in(pages(viewport=PHONE), superuser)
    paths = list_pages()
    assert len(paths) > 80
    assert [fault for path in paths for fault in faults(page, path)] == []
