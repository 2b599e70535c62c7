"""The actions of each group, and the pages that are forbidden for others."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory

from accounts.groups import PERMISSIONS
from accounts.models import Account, ApiToken
from common.admin.model_admin import ServiceAdmin
from credentials.models import Credential
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.accounts.factor import make_authenticator
from tests.admin.pages import address
from tests.admin.test_groups import list_addresses
from tests.factories import (
    make_credential,
    make_staff,
)
from tools.staging.rows import make_one_of_each

# Permissions and status codes. test_pages.py opens the same pages on both databases.
pytestmark = [pytest.mark.slow, pytest.mark.one_database]

_OPERATORS = {
    "credential": {
        "check_now", "refresh_now", "mark_for_reconnection", "move_to_app", "edit_metadata",
        "export_selected", "export_selected_as_workbook", "delete_selected", "put_on_hold",
        "release_hold",
    },
    "connectlink": {"delete_selected"},
}  # fmt: skip
ACTIONS: dict[str, dict[str, set[str]]] = {
    "Viewer": {},
    "Operator": _OPERATORS,
    "Custodian": {
        **_OPERATORS,
        "apitoken": {"revoke"},
        "session": {"delete_selected"},
        "oauthapp": {"delete_selected"},
        "webhookendpoint": {"rotate_secret", "delete_selected"},
        "webhookdelivery": {"replay"},
    },
}
"""The actions of each group, by the model whose list has them; no other list has any."""


@pytest.fixture
def everything(account: Account, superuser: User) -> None:
    make_one_of_each(account, superuser, "made up", "It does not work.")


def find_row_id(name: str) -> Any:
    """The id of a row of the model that this address is about."""
    label = name.rpartition("_")[0].removesuffix("_password")
    for model in admin.site._registry:
        if label == f"{model._meta.app_label}_{model._meta.model_name}":
            return model._default_manager.order_by("pk").values_list("pk", flat=True).first()
    raise AssertionError(name)


@pytest.mark.parametrize("group", [None, *PERMISSIONS])
def test_forbidden_pages_of_existing_rows_are_403(
    group: str | None, everything: None, staff_client: Any
) -> None:
    held = PERMISSIONS[group] if group else frozenset()
    browser: Client = staff_client(*([group] if group else []))
    met = 0
    for name, path, needed in list_addresses():
        about = "OBJECT" in path or "password" in name
        if held & needed or not about or (id := find_row_id(name)) is None:
            continue
        page = path.replace("OBJECT", str(id)).replace("/1/password/", f"/{id}/password/")
        assert browser.get(page).status_code == 403, page
        assert browser.post(page, {"post": "yes"}).status_code == 403, page
        met += 1
    assert met >= 14


@pytest.mark.parametrize("group", PERMISSIONS)
def test_each_group_has_its_actions(group: str, account: Account) -> None:
    request = RequestFactory().get("/")
    request.user = make_staff(group)
    offered = {
        str(model._meta.model_name): set(model_admin.get_actions(request))
        for model, model_admin in admin.site._registry.items()
        if model_admin.has_view_or_change_permission(request)
    }
    assert {name: actions for name, actions in offered.items() if actions} == ACTIONS[group]


@pytest.mark.django_db
def test_view_permissions_grant_no_action() -> None:
    request = RequestFactory().get("/")
    user = make_staff()
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    request.user = user
    ours = [found for found in admin.site._registry.values() if isinstance(found, ServiceAdmin)]
    assert len(ours) > 9
    assert not [found for found in ours if found.get_actions(request)]


@pytest.mark.parametrize("group", [None, *PERMISSIONS])
def test_posting_an_action_without_permission_does_nothing(
    group: str | None, everything: None, superuser: User, staff_client: Any
) -> None:
    browser: Client = staff_client(*([group] if group else []))
    request = RequestFactory().get("/")
    request.user = superuser
    own = ACTIONS.get(group or "", {})
    before = Event.objects.count()
    tried = 0
    for model, model_admin in admin.site._registry.items():
        ids = list(model._default_manager.values_list("pk", flat=True))
        for action in set(model_admin.get_actions(request)) - own.get(
            model.__name__.lower(), set()
        ):
            chosen = {"action": action, "_selected_action": ids, "post": "yes", "apply": "yes"}
            browser.post(address(model, "changelist"), chosen)
            browser.post(address(model, "changelist"), {**chosen, "select_across": "1"})
            assert list(model._default_manager.values_list("pk", flat=True)) == ids
            tried += 1
    assert tried >= 4
    assert Event.objects.count() == before


def _visitor(kind: str) -> Client:
    client = Client()
    if kind == "not staff":
        client.force_login(User.objects.create_user("customer", password="x"))
    if kind == "no second factor shown":
        user = make_staff("Custodian", is_superuser=True)
        make_authenticator(user)
        client.force_login(user)
    if kind in {"disabled", "group removed"}:
        user = make_staff("Custodian")
        client.force_login(user)
        user.groups.clear()
        User.objects.filter(pk=user.pk).update(is_active=kind != "disabled")
    return client


@pytest.mark.parametrize("kind", ["nobody", "not staff", "no second factor shown", "disabled"])
def test_every_page_redirects_to_the_login(kind: str, everything: None) -> None:
    browser = _visitor(kind)
    events, row = Event.objects.count(), Credential.objects.get()
    for _, path, _ in list_addresses():
        page = path.replace("OBJECT", str(row.pk))
        for response in (browser.get(page), browser.post(page, {"post": "yes"})):
            assert response.status_code == 302, page
            assert response["Location"].startswith("/admin/login/?next="), page
    assert Event.objects.count() == events


def test_removing_a_group_has_an_immediate_effect(everything: None) -> None:
    browser = _visitor("group removed")
    assert browser.get("/admin/").status_code == 200
    assert browser.get(address(Credential, "changelist")).status_code == 403


@pytest.mark.parametrize("model", [Credential, OAuthApp, ApiToken, User])
@pytest.mark.parametrize(
    "chosen", ["", "abc", "a\0b", "9" * 40], ids=["none", "word", "nul", "long"]
)
def test_selected_value_that_is_not_an_id_is_400(
    browser: Client, account: Account, model: type[Any], chosen: str
) -> None:
    make_credential(account)
    action = "revoke" if model is ApiToken else "delete_selected"
    values = {"action": action, "_selected_action": chosen}
    assert browser.post(address(model, "changelist"), values).status_code == 400


@pytest.mark.parametrize("id", ["abc", "1", "9" * 40])
def test_admin_has_no_redirect_by_id(browser: Client, id: str) -> None:
    assert browser.get(f"/admin/r/1/{id}/").status_code == 404
