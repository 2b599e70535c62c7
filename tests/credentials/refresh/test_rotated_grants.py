"""An old import file never brings back a secret that a rotation replaced, however often it is refreshed."""

from __future__ import annotations

import pytest

from credentials.core.grant_state import get_grant
from credentials.models import Credential
from credentials.refresh import get_fresh_token
from credentials.services.crud import credential_import
from credentials.services.rotate import credential_rotate
from tests.factories import TESTER

pytestmark = pytest.mark.django_db

ROTATIONS = 7


@pytest.mark.parametrize("refreshes", [0, 1, 12])
def test_old_file_does_not_replace_rotated_grant(account, app, provider, grant, refreshes):
    row = grant()
    files = [provider.grants.authorize("ann") for _ in range(ROTATIONS)]
    for tokens in files:
        credential_rotate(account_id=account.id, id=row.id, actor=TESTER, properties=tokens)
    for _ in range(refreshes):
        get_fresh_token(account_id=account.id, id=row.id, actor=TESTER, force=True)
    before = Credential.objects.select_related("grant").get(id=row.id)
    for tokens in files:
        outcome = credential_import(
            account_id=account.id,
            actor=TESTER,
            body={
                "oauth_app_id": str(app.id),
                "properties": {"kind": "fake_oauth2", "user_id": "ann", **tokens},
            },
        )
        assert outcome.result == "unchanged"
    after = Credential.objects.get(id=row.id)
    assert (get_grant(after).generation, after.secrets) == (
        get_grant(before).generation,
        before.secrets,
    )
