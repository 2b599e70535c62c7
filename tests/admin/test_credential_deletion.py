from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Account
from credentials.models import Credential, Revocation
from events.models import Event
from tests.admin.pages import address, text
from tests.factories import make_credential

LIST = address(Credential, "changelist")


def test_delete_removes_the_row_and_enqueues_a_revocation(
    browser: Client, account: Account
) -> None:
    credential = make_credential(account)
    browser.post(address(Credential, "delete", credential.pk), {"post": "yes"})
    assert not Credential.objects.exists()
    assert Revocation.objects.get().credential_id == credential.id
    assert Event.objects.filter(verb="credential.deleted", target_id=credential.id).exists()


def test_bulk_delete_asks_for_confirmation_and_reports_the_count(
    browser: Client, account: Account
) -> None:
    chosen = [str(make_credential(account).pk) for _ in range(3)]
    make_credential(account)
    action = {"action": "delete_selected", "_selected_action": chosen}
    assert "Are you sure" in text(browser.post(LIST, action))
    assert Credential.objects.count() == 4
    response = browser.post(LIST, action | {"post": "yes"}, follow=True)
    assert "Deleted 3 credentials." in text(response)
    assert Credential.objects.count() == 1
    assert Event.objects.filter(verb="credential.deleted").count() == 3


def test_bulk_delete_rejects_too_many_rows(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.admin.model_admin.MAX_BULK_DELETE", 1)
    chosen = [str(make_credential(account).pk) for _ in range(2)]
    action = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert "nothing was done" in text(browser.post(LIST, action, follow=True))
    assert Credential.objects.count() == 2
