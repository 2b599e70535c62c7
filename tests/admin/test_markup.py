"""Text of outsiders is escaped on every page: no tag, no attribute, no address that runs."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import models
from django.test import Client, RequestFactory

from accounts.models import Account
from tests.admin.pages import all_addresses
from tools.staging.rows import make_one_of_each

# The markup of pages that test_pages.py opens on both databases.
pytestmark = [pytest.mark.slow, pytest.mark.one_database]

TAG = "<img src=x onerror=y>"
BREAKS_OUT = "\"'><svg onload=z>"
RUNS = "javascript:alert(1)"
ROOMS = (
    "credentials",
    "connect",
    "health",
    "oauth_apps",
    "webhooks",
    "accounts",
    "events",
    "providers",
)
KEPT = {
    "kind",
    "slug",
    "provider",
    "status",
    "flow",
    "state",
    "refresh_state",
    "type",
    "target_type",
}
"""Columns that hold one word of a list of ours."""

TEXTS = {models.CharField, models.TextField, models.EmailField}


def fill_text_columns(model: type[models.Model], text: str) -> None:
    """Write `text` into every text column whose value comes from outside."""
    for field in model._meta.concrete_fields:
        free = type(field) in TEXTS and not (field.choices or field.unique)
        if free and field.name not in KEPT:
            model._default_manager.update(**{field.name: text[: field.max_length]})
        if field.name in {"metadata", "config"}:
            model._default_manager.update(**{field.name: {text: [text, {text: text}]}})
        if field.name in {"redirect_uris", "scopes", "notes", "blocked_endpoints", "changed"}:
            model._default_manager.update(**{field.name: [text]})
        if field.name == "failure":
            model._default_manager.update(failure={"code": text, "detail": text})
        if field.name == "health":
            health = {"status": "error", "notes": [text], "time": "2026-11-21T09:00:00Z"}
            model._default_manager.update(health=health)


@pytest.fixture
def everything(account: Account, superuser: User) -> None:
    make_one_of_each(account, superuser, "made up", "It does not work.")


@pytest.mark.parametrize("words", [TAG, BREAKS_OUT, RUNS], ids=["tag", "attribute", "address"])
def test_every_page_escapes_stored_text(
    browser: Client, superuser: User, account: Account, everything: None, words: str
) -> None:
    for model in apps.get_models():
        if model._meta.app_label in ROOMS:
            fill_text_columns(model, words)
    request = RequestFactory().get("/")
    request.user = superuser
    met = 0
    for page in all_addresses(request):
        response = browser.get(page)
        assert response.status_code == 200, page
        shown = response.content.decode()
        met += "onerror=y" in shown or "onload=z" in shown or RUNS in shown
        for bad in (TAG, "<svg onload=z", f'href="{RUNS}', f'src="{RUNS}', f'action="{RUNS}'):
            assert bad not in shown, page
    assert met > 12
