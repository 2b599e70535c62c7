"""The superuser's pages about everybody's second factor."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts.models import Account
from accounts.otp_devices import Authenticator, RecoveryCode, RecoveryCodes
from accounts.second_factor import get_event_target_id
from events.models import Event
from tests.accounts.factor import AUTHENTICATOR_KEY, make_authenticator, make_recovery_codes
from tests.admin.pages import address, text
from tests.factories import make_staff
from tests.project.canaries import find_leaks
from vault.sealing import SealedValue

CODE = "abcdefghabcdefgh"


@pytest.fixture
def other(account: Account) -> User:
    other = make_staff()
    make_authenticator(other)
    make_recovery_codes(other, CODE, "anothercodeabcde")
    return other


@pytest.mark.parametrize("model", [Authenticator, RecoveryCodes])
def test_device_list_decrypts_nothing(
    browser: Client, other: User, no_unsealing: None, model: type[Authenticator]
) -> None:
    Authenticator.objects.update(key=SealedValue(b"\x00damaged"))
    listed = browser.get(address(model, "changelist"))
    assert listed.status_code == 200
    assert other.username in text(listed)
    shown = browser.get(address(model, "change", model.objects.get().pk))
    assert shown.status_code == 200


def test_device_pages_have_no_key_or_code(browser: Client, other: User) -> None:
    secrets = {"key": AUTHENTICATOR_KEY.decode(), "code": CODE}
    for model in (Authenticator, RecoveryCodes):
        pk = model.objects.get().pk
        pages = [address(model, "changelist"), address(model, "change", pk)]
        for page in [*pages, address(model, "history", pk), address(model, "delete", pk)]:
            response = browser.get(page)
            assert response.status_code == 200
            assert not list(find_leaks(response.content, secrets.items()))


@pytest.mark.parametrize("model", [Authenticator, RecoveryCodes])
def test_deleting_either_device_removes_the_second_factor(
    browser: Client, superuser: User, other: User, account: Account, model: type[Authenticator]
) -> None:
    page = address(model, "delete", model.objects.get().pk)
    assert browser.post(page, {"post": "yes"}).status_code == 302
    assert not Authenticator.objects.exists()
    assert not RecoveryCodes.objects.exists()
    assert not RecoveryCode.objects.exists()
    event = Event.objects.get(verb="second_factor.removed")
    assert (event.account_id, event.actor) == (account.pk, f"user:{superuser.pk}")
    assert (event.target_type, event.target_id) == ("user", get_event_target_id(other))


def test_bulk_delete_of_devices(browser: Client, other: User) -> None:
    make_authenticator(make_staff())
    chosen = [str(pk) for pk in Authenticator.objects.values_list("pk", flat=True)]
    typed = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    browser.post(address(Authenticator, "changelist"), typed)
    assert not Authenticator.objects.exists()
    assert Event.objects.filter(verb="second_factor.removed").count() == 2


def test_own_device_is_not_deleted_here(browser: Client, superuser: User) -> None:
    device = make_authenticator(superuser)
    session = browser.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    page = address(Authenticator, "delete", device.pk)
    response = browser.post(page, {"post": "yes"}, follow=True)
    assert "with password and code" in text(response)
    assert Authenticator.objects.exists()


@pytest.mark.parametrize("model", [Authenticator, RecoveryCodes])
def test_devices_have_no_add_or_change_page(
    browser: Client, other: User, model: type[Authenticator]
) -> None:
    assert browser.get(address(model, "add")).status_code == 403
    page = address(model, "change", model.objects.get().pk)
    assert browser.post(page, {"name": "x"}).status_code == 403


@pytest.mark.parametrize("group", ["Viewer", "Operator", "Custodian"])
def test_no_group_can_view_devices(staff_client: object, other: User, group: str) -> None:
    client: Client = staff_client(group)  # type: ignore[operator]
    assert client.get(address(Authenticator, "changelist")).status_code == 403
