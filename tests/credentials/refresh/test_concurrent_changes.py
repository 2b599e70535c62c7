"""Changes of a row during its refresh, which no refresh may undo."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from common.errors import ConflictError, NotFoundError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Revocation
from credentials.refresh import get_fresh_token
from credentials.services.crud import credential_delete, credential_import, credential_update
from oauth_apps.models import OAuthApp
from tests.factories import TESTER
from vault.sealing import Place, unseal

pytestmark = pytest.mark.django_db(transaction=True)


def request_token(row: Credential, **more):
    return get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, **more)


@pytest.fixture
def during_call(provider):
    """Return a function that sets what happens while the provider has the request."""

    def plan(act):
        def once():
            provider.on_call = None
            try:
                act()
            finally:
                connection.close()

        provider.on_call = once

    return plan


def body(app: OAuthApp, **properties: Any) -> dict[str, Any]:
    return {
        "properties": {"kind": "fake_oauth2", "user_id": "ann", **properties},
        "oauth_app_id": str(app.id),
    }


def revoked_tokens() -> list[str]:
    rows = Revocation.objects.filter(sealed__isnull=False).order_by("id")
    sealed: list[Any] = [(Place.of(row, "sealed"), row.sealed) for row in rows]
    return [unseal(*one)["refresh_token"] for one in sealed]


def test_tokens_of_deleted_credential_are_revoked(provider, grant, during_call):
    row = grant()
    delete = lambda: credential_delete(account_id=row.account_id, id=row.id, actor=TESTER)  # noqa: E731
    during_call(delete)
    with pytest.raises(NotFoundError):
        request_token(row)
    assert provider.grants.families["ann"].current in revoked_tokens()


def test_newer_import_wins_and_late_response_is_revoked(provider, grant, during_call, app):
    row = grant()
    old = provider.grants.families["ann"]
    newer = {}

    def connect():
        newer.update(provider.grants.authorize("ann"))
        ends = {"expires_at": "2099-01-01T00:00:00Z"}
        credential_import(account_id=row.account_id, actor=TESTER, body=body(app, **newer, **ends))

    during_call(connect)
    assert request_token(row).access_token.expose() == newer["access_token"]
    assert (
        decrypt_secrets(Credential.objects.get(id=row.id))["refresh_token"]
        == newer["refresh_token"]
    )
    assert revoked_tokens() == [old.current]


def test_late_response_is_not_revoked_within_grace_period(provider, grant, during_call, app, facts):
    """The import may be of the same family, which a revocation would end."""
    provider.grants.grace = 30
    facts(grace_seconds=30)
    row = grant()

    def import_sibling():
        sibling = provider.grants.refresh("refresh-ann-1")
        credential_import(account_id=row.account_id, actor=TESTER, body=body(app, **sibling))

    during_call(import_sibling)
    request_token(row)
    assert Revocation.objects.count() == 0


def test_newer_import_ends_needs_reauth(provider, grant, app):
    row = grant()
    provider.modes.append("invalid_grant")
    with pytest.raises(ConflictError):
        request_token(row)
    newer = provider.grants.authorize("ann")
    credential_import(account_id=row.account_id, actor=TESTER, body=body(app, **newer))
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert (stored.state, stored.error, stored.generation) == (
        "active",
        "",
        1,
    )
    assert stored.next_at is not None
    assert provider.grants.is_alive(request_token(row).access_token.expose())


def test_rejection_of_replaced_grant_has_no_effect(provider, grant, during_call, app):
    row = grant()
    provider.modes.append("invalid_grant")
    newer = provider.grants.authorize("ann")
    during_call(
        lambda: credential_import(
            account_id=row.account_id,
            actor=TESTER,
            body=body(app, **newer, expires_at="2099-01-01T00:00:00Z"),
        )
    )
    assert request_token(row).access_token.expose() == newer["access_token"]
    assert get_grant(Credential.objects.get(id=row.id)).state == "active"


def test_old_import_file_changes_nothing_after_many_refreshes(provider, grant, app):
    row = grant()
    file = body(
        app,
        refresh_token="refresh-ann-1",
        access_token="access-ann-2",
        expires_at="2026-01-01T00:00:00Z",
    )
    for _ in range(3):
        request_token(row, force=True)
        outcome = credential_import(account_id=row.account_id, actor=TESTER, body=file)
        assert outcome.result == "unchanged"
    assert provider.grants.is_alive(request_token(row, force=True).access_token.expose())


def test_late_import_of_refreshed_token_changes_nothing(provider, grant, app):
    row = grant()
    request_token(row)
    read_out = decrypt_secrets(Credential.objects.get(id=row.id))
    request_token(row, force=True)
    outcome = credential_import(account_id=row.account_id, actor=TESTER, body=body(app, **read_out))
    assert outcome.result == "unchanged"
    assert provider.grants.is_alive(request_token(row, force=True).access_token.expose())


def test_concurrent_changes_of_other_columns_stay(provider, grant, during_call):
    row = grant()
    during_call(
        lambda: credential_update(
            account_id=row.account_id,
            id=row.id,
            actor=TESTER,
            changes={"name": "New", "metadata": {"a": 1}},
        )
    )
    request_token(row)
    after = Credential.objects.get(id=row.id)
    assert (after.name, after.metadata, get_grant(after).generation) == ("New", {"a": 1}, 1)
