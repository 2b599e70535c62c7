"""Accessibility of the pages: contrast, keyboard, small screens; and no scripts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import CHROMIUM
from tests.browser.connect.conftest import get_heading
from tests.browser.navigation import press

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
PHONE = {"viewport": {"width": 375, "height": 667}}


@pytest.fixture
def links(api, apps, company) -> dict[str, str]:
    """Return the URLs of a link with a Continue button and of one with a form."""
    api.patch("/v1/connect-settings", {"return_urls": [company.address]})
    body = {"oauth_app_id": str(apps[0].id), "kind": "alpha_called_oauth2"}
    asks = api.post("/v1/connect-links", body).json()["url"]
    body = {"kind": "alpha_key", "return_to": company.address}
    return {"asks": asks, "form": api.post("/v1/connect-links", body).json()["url"]}


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


CONTRASTS = """() => [...document.querySelectorAll("main *, footer")]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  .map(e => {
    let under = e;
    while (under && getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
    return [e.tagName, getComputedStyle(e).color, getComputedStyle(under || document.body).backgroundColor];
  })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["asks", "form"])
def test_text_has_sufficient_contrast(people, links, name, scheme):
    page = people(java_script_enabled=True, color_scheme=scheme)
    page.goto(links[name])
    if name == "form":
        press(page, "Connect")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 5
    for tag, text, under in contrasts:
        light, dark = sorted((luminance(text), luminance(under)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (tag, text, under)


@pytest.mark.parametrize("name", ["asks", "form"])
def test_page_fits_375_pixels(people, links, name):
    page = people(java_script_enabled=True, **PHONE)
    page.goto(links[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for button in page.get_by_role("button").all():
        assert button.bounding_box()["height"] >= 44


@pytest.mark.parametrize("name", ["asks", "form"])
def test_page_has_no_script_and_no_csp_violation(people, links, name):
    messages: list[Any] = []
    page = people(java_script_enabled=True)
    page.on("console", lambda message: messages.append(message.text))
    page.goto(links[name])
    assert page.locator("script").count() == 0
    assert [text for text in messages if "Content Security Policy" in text] == []
    assert page.locator("main").evaluate("e => getComputedStyle(e).borderRadius") == "8px"


def test_form_works_by_keyboard(people, links, company, api):
    page = people()
    page.goto(links["form"])
    page.get_by_label("Key").focus()
    page.keyboard.type("k-secret-1")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{company.address}**")
    back = company.last()
    assert back["status"] == "pending"
    completion = api.post(f"/v1/connect-links/{back['connect_link']}/complete")
    assert completion.status_code == 200


def test_form_error_links_to_field(people, links):
    page = people()
    page.goto(links["form"])
    press(page, "Connect")
    page.get_by_role("link", name="Key:").click()
    assert page.get_by_label("Key").get_attribute("aria-invalid") == "true"
    assert page.get_by_role("alert").count() == 1


def test_fields_have_labels_and_page_one_heading(people, links):
    page = people()
    page.goto(links["form"])
    assert page.locator("h1").count() == 1
    for field in page.locator("input:not([type=hidden]), select").all():
        assert page.locator(f"label[for={field.get_attribute('id')}]").count() == 1
    assert page.locator("html").get_attribute("lang") == "en-gb"


def test_error_page_has_advice(people, site):
    page = people(**PHONE)
    page.goto(f"{site}/connect/{'x' * 43}")
    assert get_heading(page) == "This link does not exist"
    assert page.get_by_text("Ask the company that sent you here for a new link.").is_visible()
