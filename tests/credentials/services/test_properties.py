from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account
from common.errors import InvalidInputError, NotFoundError, PreconditionFailedError
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from credentials.services.properties import credential_update_properties
from events.models import Event
from tests.factories import TESTER, make_account, make_app, make_credential, make_linear_body


@pytest.fixture
def row(account: Account) -> Credential:
    return make_credential(account, make_linear_body(make_app(account)))


def update(row: Credential, **properties: Any) -> Credential:
    credential_update_properties(
        account_id=row.account_id, id=row.pk, actor=TESTER, properties=properties
    )
    return Credential.objects.get(pk=row.pk)


def test_update_sets_and_removes_a_property(row: Credential) -> None:
    assert update(row, linear_org_name="Acme").properties["linear_org_name"] == "Acme"
    assert "linear_org_name" not in update(row, linear_org_name=None).properties
    changed = Event.objects.filter(verb="credential.updated").values_list("changed", flat=True)
    assert list(changed) == [["properties.linear_org_name"]] * 2


def test_update_keeps_the_secrets(row: Credential) -> None:
    before = Credential.objects.get(pk=row.pk)
    after = update(row, linear_org_name="Acme")
    assert (after.secrets, after.fingerprints) == (before.secrets, before.fingerprints)
    assert after.properties["access_token"] == "**********"
    assert after.revision == before.revision + 1


def test_update_of_the_expiry_sets_its_column(row: Credential) -> None:
    Grant.objects.update(next_at=None)
    after = update(row, expires_at="2030-01-01T00:00:00Z")
    assert after.expires_at is not None
    assert after.expires_at.year == 2030
    assert get_grant(after).next_at is not None


def test_update_without_a_change_writes_nothing(row: Credential) -> None:
    update(row, linear_org_name="Acme")
    assert update(row, linear_org_name="Acme").revision == 2


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"linear_org_id": "org-2"}, "properties.linear_org_id"),
        ({"kind": "linear_key"}, "properties.kind"),
        ({"nonsense": 1}, "properties.nonsense"),
        ({"expires_at": "soon"}, "properties.expires_at"),
        ({"linear_org_name": 7}, "properties.linear_org_name"),
    ],
)
def test_update_rejects_invalid_properties(
    row: Credential, properties: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        update(row, **properties)
    assert field in caught.value.fields
    assert Credential.objects.get(pk=row.pk).revision == 1


def test_update_rejects_a_secret(row: Credential) -> None:
    before = Credential.objects.get(pk=row.pk).secrets
    with pytest.raises(InvalidInputError) as caught:
        update(row, access_token="other")
    assert "properties.access_token" in caught.value.fields
    assert Credential.objects.get(pk=row.pk).secrets == before


def test_update_of_another_account_is_not_found(row: Credential) -> None:
    row.account_id = make_account().pk
    with pytest.raises(NotFoundError):
        update(row, linear_org_name="Acme")


def test_update_rejects_an_old_etag(row: Credential) -> None:
    with pytest.raises(PreconditionFailedError):
        credential_update_properties(
            account_id=row.account_id,
            id=row.pk,
            actor=TESTER,
            properties={"linear_org_name": "Acme"},
            if_match=frozenset({'"7"'}),
        )
