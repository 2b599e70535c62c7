"""The permissions of each group, and every address of the admin for each group."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.groups import PERMISSIONS, reset_groups
from accounts.models import Account
from credentials.models import Credential
from tests.admin.pages import address, text
from tests.factories import make_app, make_credential, make_endpoint, make_link, make_token

# Permissions and status codes. test_pages.py opens the same pages on both databases.
pytestmark = [pytest.mark.slow, pytest.mark.one_database]

ALWAYS = {
    "index", "login", "logout", "password_change", "password_change_done", "autocomplete", "jsi18n",
    "app_list", "second_factor",
}  # fmt: skip
"""Addresses of the site itself; the rest need a permission."""

NO_PAGES = ("draft", "refused", "_template", "_act")
"""In the names of addresses that nothing is to be had from by a GET."""

NEEDED = {
    "credentials_import": {"credentials.import_credential"},
    "credentials_import_draft": {"credentials.import_credential"},
    "credentials_import_refused": {"credentials.import_credential"},
    "credentials_import_template": {"credentials.import_credential"},
    "credentials_credential_find": {"credentials.reveal_credential"},
    "credentials_credential_reveal": {"credentials.reveal_credential"},
    "credentials_credential_policy": {"credentials.change_credential"},
    "credentials_credential_act": {"credentials.use_credential"},
    "auth_user_password_change": {"auth.change_user"},
}
PAGES = {
    "changelist": {"view", "change"},
    "history": {"view", "change"},
    "change": {"view", "change"},
    "add": {"add"},
    "delete": {"delete"},
}


def list_addresses() -> Iterator[tuple[str, str, set[str]]]:
    """Each named address of the admin, with a value for each of its parts, and what opens it."""
    for name, pattern in walk_patterns(admin.site.get_urls(), ""):
        if name in ALWAYS:
            continue
        path = re.sub(r"<uuid:\w+>", str(uuid.uuid4()), pattern)
        path = re.sub(r"<path:object_id>", "OBJECT", path)
        path = re.sub(r"<(int:)?\w+>", "1", path)
        yield name, f"/admin/{path}", get_needed_permissions(name)


def walk_patterns(patterns: list[Any], before: str) -> Iterator[tuple[str, str]]:
    for found in patterns:
        path = before + str(found.pattern)
        if isinstance(found, URLResolver):
            yield from walk_patterns(found.url_patterns, path)
        elif isinstance(found, URLPattern) and found.name:
            yield found.name, path


def get_needed_permissions(name: str) -> set[str]:
    if name in NEEDED:
        return NEEDED[name]
    model, _, page = name.rpartition("_")
    for found in admin.site._registry:
        if model == f"{found._meta.app_label}_{found._meta.model_name}":
            label, what = found._meta.app_label, found._meta.model_name
            return {f"{label}.{verb}_{what}" for verb in PAGES[page]}
    raise AssertionError(f"{name}: say in this test what opens it")


@pytest.fixture
def rows(account: Account) -> dict[str, Any]:
    """A row of each model that staff may see, by what its addresses start with."""
    make_token(account)
    made = (make_credential(account), make_app(account), make_endpoint(account), make_link(account))
    found = {f"{row._meta.app_label}_{row._meta.model_name}": row.pk for row in made}
    return {**found, "accounts_account": account.pk}


@pytest.mark.parametrize("group", [None, *PERMISSIONS])
def test_forbidden_pages_are_403(
    group: str | None, rows: dict[str, Any], staff_client: Any
) -> None:
    held = PERMISSIONS[group] if group else frozenset()
    browser: Client = staff_client(*([group] if group else []))
    forbidden = [found for found in list_addresses() if not held & found[2]]
    assert len(forbidden) > 30
    for name, path, _ in forbidden:
        page = path.replace("OBJECT", str(rows.get(name.rpartition("_")[0], 1)))
        if name == "credentials_credential_reveal":
            page = path.replace("OBJECT", str(rows["credentials_credential"]))
        for response in (browser.get(page), browser.post(page, {"post": "yes"})):
            # Of a row that is not there nothing is said, and nothing shown.
            gone = response.status_code == 302 and response["Location"] == "/admin/"
            assert response.status_code == 403 or gone, (name, page, response.status_code)


@pytest.mark.parametrize("group", PERMISSIONS)
def test_allowed_pages_open(group: str, rows: dict[str, Any], staff_client: Any) -> None:
    browser: Client = staff_client(group)
    opened = 0
    for name, path, needed in list_addresses():
        model = name.rpartition("_")[0]
        if not needed & PERMISSIONS[group] or any(part in name for part in NO_PAGES):
            continue
        if "OBJECT" in path and model not in rows and "reveal" not in name:
            continue
        page = path.replace("OBJECT", str(rows.get(model, rows["credentials_credential"])))
        response = browser.get(page)
        # Pages that no service stands behind are closed to all, whatever their group.
        assert response.status_code in {200, 403}, (name, page)
        opened += response.status_code == 200
    assert opened > 12


@pytest.mark.django_db
@pytest.mark.parametrize("name", PERMISSIONS)
def test_migrations_grant_the_permissions_of_the_table(name: str) -> None:
    granted = Group.objects.get(name=name).permissions.select_related("content_type")
    labels = {f"{one.content_type.app_label}.{one.codename}" for one in granted}
    assert labels == PERMISSIONS[name]


@pytest.mark.django_db
def test_groups_can_be_restored() -> None:
    group = Group.objects.get(name="Viewer")
    group.permissions.clear()
    reset_groups()
    assert group.permissions.count() == len(PERMISSIONS["Viewer"])


def test_new_permissions_are_added_to_groups(account: Account) -> None:
    assert PERMISSIONS["Viewer"] < PERMISSIONS["Operator"] < PERMISSIONS["Custodian"]


@pytest.mark.parametrize(
    "label", ["auth.", "axes.", "admin.", "sessions.", "authenticator", "recoverycode"]
)
def test_no_group_manages_users(label: str) -> None:
    assert not [one for one in PERMISSIONS["Custodian"] if label in one]


def test_viewer_has_no_fields_and_no_actions(account: Account, staff_client: Any) -> None:
    row = make_credential(account)
    browser: Client = staff_client("Viewer")
    shown = text(browser.get(address(Credential, "change", row.pk)))
    assert 'name="p-secret"' not in shown
    assert 'name="_save"' not in shown
    listed = text(browser.get(address(Credential, "changelist")))
    assert 'name="action"' not in listed
    assert "Import a file" not in listed


def test_posting_an_action_that_is_not_offered_does_nothing(
    account: Account, staff_client: Any
) -> None:
    row = make_credential(account)
    chosen = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    staff_client("Viewer").post(address(Credential, "changelist"), chosen)
    assert Credential.objects.exists()


def test_addresses_are_those_of_the_url_configuration() -> None:
    """That this test walks what is really served."""
    assert "credentials_import" in {name for name, _, _ in list_addresses()}
    assert get_resolver().resolve("/admin/credentials/import/").url_name == "credentials_import"
