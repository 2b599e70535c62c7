from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account
from common.errors import InvalidInputError, NotFoundError, PreconditionFailedError
from credentials.models import Credential
from credentials.services.properties import credential_update_properties
from events.models import Event
from tests.factories import TESTER, make_account, make_app, make_credential, make_linear_body


@pytest.fixture
def row(account: Account) -> Credential:
    return make_credential(account, make_linear_body(make_app(account)))


def amend(row: Credential, **properties: Any) -> Credential:
    credential_update_properties(
        account_id=row.account_id, id=row.pk, actor=TESTER, properties=properties
    )
    return Credential.objects.get(pk=row.pk)


def test_a_property_is_set_and_taken_away(row: Credential) -> None:
    assert amend(row, linear_org_name="Acme").properties["linear_org_name"] == "Acme"
    assert "linear_org_name" not in amend(row, linear_org_name=None).properties
    changed = Event.objects.filter(verb="credential.updated").values_list("changed", flat=True)
    assert list(changed) == [["properties.linear_org_name"]] * 2


def test_the_secrets_stay_as_they_are(row: Credential) -> None:
    before = Credential.objects.get(pk=row.pk)
    after = amend(row, linear_org_name="Acme")
    assert (after.secrets, after.fingerprints) == (before.secrets, before.fingerprints)
    assert after.properties["access_token"] == "**********"
    assert after.revision == before.revision + 1


def test_an_expiry_goes_into_its_column(row: Credential) -> None:
    Credential.objects.update(refresh_next_at=None)
    after = amend(row, expires_at="2030-01-01T00:00:00Z")
    assert after.expires_at is not None
    assert after.expires_at.year == 2030
    assert after.refresh_next_at is not None


def test_what_is_so_already_writes_nothing(row: Credential) -> None:
    amend(row, linear_org_name="Acme")
    assert amend(row, linear_org_name="Acme").revision == 2


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
def test_refusals_name_the_field_and_change_nothing(
    row: Credential, properties: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        amend(row, **properties)
    assert field in caught.value.fields
    assert Credential.objects.get(pk=row.pk).revision == 1


def test_a_secret_is_not_set_here(row: Credential) -> None:
    before = Credential.objects.get(pk=row.pk).secrets
    with pytest.raises(InvalidInputError) as caught:
        amend(row, access_token="other")
    assert "properties.access_token" in caught.value.fields
    assert Credential.objects.get(pk=row.pk).secrets == before


def test_another_accounts_is_not_there(row: Credential) -> None:
    row.account_id = make_account().pk
    with pytest.raises(NotFoundError):
        amend(row, linear_org_name="Acme")


def test_a_change_in_between_is_refused(row: Credential) -> None:
    with pytest.raises(PreconditionFailedError):
        credential_update_properties(
            account_id=row.account_id,
            id=row.pk,
            actor=TESTER,
            properties={"linear_org_name": "Acme"},
            if_match=frozenset({'"7"'}),
        )
