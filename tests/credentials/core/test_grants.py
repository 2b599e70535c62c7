"""The row of a grant, from the import of its credential to the deletion."""

from __future__ import annotations

import pytest

from accounts.models import Account
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from credentials.refresh import get_fresh_token
from credentials.services import credential_delete
from tests.factories import TESTER, make_credential, make_stripe_body
from tests.fakes.fixtures import app, grant, provider

__all__ = ["app", "grant", "provider"]

pytestmark = pytest.mark.django_db


def forget_grant(row: Credential) -> None:
    """Leave the credential as if its kind had not been refreshed when it was stored."""
    Credential.objects.filter(id=row.id).update(grant=None)
    Grant.objects.all().delete()


def test_a_kind_that_is_not_refreshed_has_no_grant(account: Account) -> None:
    assert make_credential(account, make_stripe_body()).grant is None
    assert not Grant.objects.exists()


def test_a_grant_is_of_the_account_and_app_of_its_credential(grant) -> None:
    row = grant()
    stored = get_grant(row)
    assert (stored.account_id, stored.oauth_app_id) == (row.account_id, row.oauth_app_id)


def test_deleting_the_credential_deletes_its_grant(grant) -> None:
    row = grant()
    credential_delete(account_id=row.account_id, id=row.id, actor=TESTER)
    assert not Grant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_missing_grant_is_created_when_a_token_is_requested(grant, provider) -> None:
    row = grant()
    forget_grant(row)
    token = get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    assert provider.grants.is_alive(token.access_token.expose())
    stored = Grant.objects.get(credentials=row.id)
    assert (stored.generation, stored.oauth_app_id) == (1, row.oauth_app_id)


def test_a_missing_grant_is_created_by_an_import(account: Account, grant) -> None:
    row = grant()
    forget_grant(row)
    body = {
        "properties": {"kind": "fake_oauth2", "user_id": "ann", "access_token": "another"},
        "oauth_app_id": str(row.oauth_app_id),
    }
    assert make_credential(account, body).id == row.id
    assert Grant.objects.get(credentials=row.id).oauth_app_id == row.oauth_app_id
