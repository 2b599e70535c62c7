"""A response that the database does not accept is kept in a file until it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import OperationalError, connection

from common.db.clock import db_now
from common.errors import ServiceUnavailableError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import ENDED_GRANT, get_grant
from credentials.models import Credential, Grant, Revocation
from credentials.refresh import commit_retry, get_fresh_token, spool, token_storage
from credentials.services.crud import credential_delete
from tests.factories import TESTER

pytestmark = pytest.mark.django_db(transaction=True)


def request_token(row: Credential, **more):
    return get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, **more)


@pytest.fixture
def away(monkeypatch):
    """Return a function that makes the next `times` writes fail. Retries end after half a second."""
    store = token_storage.store_token_update
    left = [0]

    def failing(*args, **more):
        if left[0]:
            left[0] -= 1
            raise OperationalError("the server closed the connection")
        return store(*args, **more)

    monkeypatch.setattr(token_storage, "store_token_update", failing)
    monkeypatch.setattr(commit_retry, "COMMIT_SECONDS", 0.5)

    def fail(times: int) -> None:
        left[0] = times

    return fail


def list_files(settings) -> list[Path]:
    folder = Path(settings.SPOOL_DIR)
    return sorted(folder.glob("*.answer")) if folder.exists() else []


def test_failed_commit_is_retried(provider, grant, settings, away):
    row = grant()
    away(2)
    assert provider.grants.is_alive(request_token(row).access_token.expose())
    assert (len(provider.calls), list_files(settings)) == (1, [])


def spool_response(row, provider, away) -> None:
    away(100)
    with pytest.raises(ServiceUnavailableError):
        request_token(row)
    away(0)


def test_unstored_response_is_stored_from_file(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    assert len(list_files(settings)) == 1
    assert spool.replay_all() == 1
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert (stored.generation, stored.state, stored.lease_owner) == (
        1,
        "active",
        "",
    )
    assert decrypt_secrets(after)["refresh_token"] == provider.grants.families["ann"].current
    assert after.expires_at
    assert (after.expires_at - db_now()).total_seconds() == pytest.approx(provider.lifetime, abs=60)
    assert provider.grants.is_alive(request_token(row).access_token.expose())
    assert (len(provider.calls), list_files(settings)) == (1, [])


def test_next_reader_replays_file_before_calling_provider(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    Grant.objects.filter(credentials=row.id).update(lease_until="2026-01-01T00:00:00Z")
    request_token(row)
    assert (len(provider.calls), provider.grants.reuses) == (1, [])


def test_file_is_encrypted_and_private(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    (file,) = list_files(settings)
    token = provider.grants.families["ann"].current
    assert token.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_renamed_file_cannot_be_decrypted(provider, grant, settings, away):
    row, other = grant("ann"), grant("bob")
    spool_response(row, provider, away)
    (file,) = list_files(settings)
    file.rename(file.with_name(file.name.replace(str(row.id), str(other.id))))
    assert spool.replay_all() == 0
    assert get_grant(Credential.objects.get(id=other.id)).generation == 0
    assert len(list_files(settings)) == 1


def test_replayed_response_is_evidence_for_health(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    assert spool.replay_all() == 1
    assert Credential.objects.get(id=row.id).health["status"] == "ok"


def test_replay_after_a_rejection_lets_the_next_refresh_tell(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    Grant.objects.filter(credentials=row.id).update(**ENDED_GRANT)
    assert spool.replay_all() == 1
    after = Credential.objects.get(id=row.id)
    assert after.health["status"] == "unknown"
    stored = get_grant(after)
    assert stored.next_at
    assert stored.next_at <= after.updated_at


@pytest.mark.parametrize("name", ["x", "a.b.c.d", "..", "é.é.é.é", "a.b.c.d.e.f"])
def test_stray_file_stops_nothing_and_is_reported_once(
    provider, grant, settings, away, name, caplog
):
    row = grant()
    spool_response(row, provider, away)
    (file,) = list_files(settings)
    stray = file.with_name(f"{name}.answer")
    stray.touch()
    spool._reported.clear()
    assert spool.replay_all() == 1
    assert spool.replay_all() == 0
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1
    assert stray.exists()
    assert sum("spool_unreadable" in str(record.msg) for record in caplog.records) == 1


def test_truncated_file_stops_nothing(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    (file,) = list_files(settings)
    file.write_bytes(file.read_bytes()[:40])
    assert spool.replay_all() == 0
    assert file.exists()


def test_replay_for_deleted_credential_revokes_tokens(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    credential_delete(account_id=row.account_id, id=row.id, actor=TESTER)
    before = Revocation.objects.count()
    assert spool.replay_all() == 1
    assert (Revocation.objects.count(), list_files(settings)) == (before + 1, [])


def test_file_is_stored_once(provider, grant, settings, away):
    row = grant()
    spool_response(row, provider, away)
    (file,) = list_files(settings)
    copy = file.read_bytes()
    spool.replay_all()
    file.write_bytes(copy)
    assert spool.replay_all() == 1
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1
    assert Revocation.objects.count() == 0


def test_commit_with_lost_response_is_recognised(provider, grant, monkeypatch):
    row = grant()
    store = token_storage.store_token_update
    lost = [True]

    def committed_but_unheard(*args, **more):
        stored = store(*args, **more)
        if lost.pop() if lost else False:
            connection.commit() if not connection.in_atomic_block else None
            connection.connection.commit()
            raise OperationalError("the server closed the connection")
        return stored

    monkeypatch.setattr(token_storage, "store_token_update", committed_but_unheard)
    assert provider.grants.is_alive(request_token(row).access_token.expose())
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1
    assert Revocation.objects.count() == 0


def test_error_in_side_effects_keeps_grant(provider, grant, monkeypatch):
    row = grant()

    def fault(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(token_storage, "record_changes", fault)
    assert provider.grants.is_alive(request_token(row).access_token.expose())
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1
