"""After a restore no strict grant is used before a person decides (reliability audit, finding 4)."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from django.core.management import call_command

from common.db.clock import db_now
from common.errors import ServiceUnavailableError
from config.worker.loop import Worker
from credentials.core.grant_state import get_grant
from credentials.health.models import HealthChange
from credentials.models import Credential, Grant
from credentials.refresh import get_fresh_token, restored_database, services
from credentials.refresh.restored_database import DATABASE_MARKS
from credentials.refresh.tasks import RefreshTask
from credentials.restore import marking, recognition
from credentials.restore.models import DatabaseRestore, RestoredGrant
from credentials.restore.tasks import note_waiting_grants
from events.models import Event
from tests.api import ApiClient
from tests.factories import TESTER, make_credential, make_token

pytestmark = pytest.mark.django_db(transaction=True)


def refresh(row: Credential, **more: Any) -> str:
    token = get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, **more)
    return token.access_token.expose()


def refresh_all(rows: list[Credential], times: int) -> None:
    for _ in range(times):
        for row in rows:
            refresh(row, force=True)
    recognition.count_mark()


def run_worker() -> None:
    DATABASE_MARKS.run(True)
    Worker([RefreshTask()], concurrency=4).run(once=True)
    note_waiting_grants()


def count_alive(provider: Any) -> int:
    return sum(not family.revoked for family in provider.grants.families.values())


def run_command(*args: str) -> str:
    out = io.StringIO()
    call_command("restored", *args, stdout=out)
    return out.getvalue()


def get_states(account: Any) -> list[str]:
    listed = ApiClient(make_token(account)).get("/v1/credentials").json()["data"]
    return [row["refresh"]["state"] for row in listed]


@pytest.fixture
def restored(provider, grant, make_backup) -> list[Credential]:
    """Make five strict grants that were refreshed twice after the backup that is in place now."""
    rows = [grant(f"user-{n}") for n in range(5)]
    backup = make_backup()
    refresh_all(rows, times=2)
    backup.restore()
    return rows


def test_no_strict_grant_is_used_before_a_person_decides(provider, restored, account):
    calls = len(provider.calls)
    run_worker()
    assert (len(provider.calls), provider.grants.reuses) == (calls, [])
    assert count_alive(provider) == 5
    assert get_states(account) == ["in_doubt"] * 5
    assert run_command() == "waiting=5 provider=fake\n"


def test_caller_of_a_waiting_grant_gets_503_that_names_the_restore(provider, restored):
    calls = len(provider.calls)
    for row in restored:
        with pytest.raises(ServiceUnavailableError) as caught:
            refresh(row)
        assert caught.value.extra["code"] == "database_restored"
    assert len(provider.calls) == calls


def test_living_access_token_is_still_returned(provider, grant, make_backup):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    backup = make_backup()
    refresh_all([row], times=1)
    backup.restore()
    run_worker()
    assert RestoredGrant.objects.filter(resumed_at=None).count() == 1
    assert provider.grants.is_alive(refresh(row))
    with pytest.raises(ServiceUnavailableError):
        refresh(row, force=True)


def test_note_says_restore_and_no_mail_is_sent(provider, restored, mailoutbox):
    run_worker()
    for row in Credential.objects.all():
        assert row.health["status"] == "warn"
        assert row.health["notes"][0].startswith("The database was restored to its state of 20")
    assert set(HealthChange.objects.values_list("source", "code")) >= {
        ("restore", "database_restored")
    }
    assert mailoutbox == []


def test_rejection_after_resuming_names_the_restore(provider, restored):
    run_worker()
    assert run_command("--resume") == "resumed=5\n"
    run_worker()
    for row in Credential.objects.all():
        assert (get_grant(row).state, get_grant(row).error) == ("needs_reauth", "database_restored")
        assert "database was restored" in row.health["notes"][0]
        assert row.health["status"] == "error"
    assert Event.objects.filter(verb="credential.refresh_resumed").count() == 5
    note_waiting_grants()
    assert not RestoredGrant.objects.exists()


def test_grants_resume_by_filter(provider, restored, account, app):
    run_worker()
    assert run_command("--resume", "--provider", "other") == "resumed=0\n"
    first, second, *_ = restored
    assert run_command("--resume", "--id", str(first.id)).startswith("resumed=1\n")
    assert run_command("--resume", "--account", account.slug, "--id", str(second.id)).startswith(
        "resumed=1\n"
    )
    assert run_command("--resume", "--app", str(app.id)) == "resumed=3\n"


def test_grant_that_was_not_replaced_goes_on_after_resuming(provider, grant, make_backup):
    row = grant()
    backup = make_backup()
    recognition.count_mark()
    backup.restore()
    run_worker()
    run_command("--resume")
    run_worker()
    after = Credential.objects.get(id=row.id)
    assert (get_grant(after).state, get_grant(after).generation, after.health["status"]) == (
        "active",
        1,
        "ok",
    )
    assert provider.grants.reuses == []


def test_grant_that_was_not_due_and_not_refreshed_does_not_wait(provider, grant, make_backup):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    backup = make_backup()
    recognition.count_mark()
    backup.restore()
    run_worker()
    assert DatabaseRestore.objects.count() == 1
    assert not RestoredGrant.objects.exists()
    assert provider.grants.is_alive(refresh(row, force=True))


def test_grant_within_its_grace_goes_on_by_itself(provider, grant, facts, make_backup):
    provider.grants.grace = 600
    facts(grace_seconds=600)
    rows = [grant(f"user-{n}") for n in range(3)]
    Grant.objects.update(next_at=db_now())
    backup = make_backup()
    refresh_all(rows, times=1)
    backup.restore()
    run_worker()
    assert [grant.generation for grant in Grant.objects.all()] == [1, 1, 1]
    assert (count_alive(provider), provider.grants.reuses) == (3, [])


def test_grant_within_its_grace_keeps_the_lease_of_a_running_request(grant, facts):
    facts(grace_seconds=600)
    row = grant()
    now = db_now()
    lease = {"lease_owner": "another process", "lease_until": now + dt.timedelta(seconds=60)}
    Grant.objects.update(next_at=now, **lease)
    restore = DatabaseRestore.objects.create(restored_to=now, recognised_at=now, reason="mark")
    assert marking.mark_due_grants(restore) == 1
    assert Grant.objects.values(*lease).get(id=row.grant_id) == lease


def test_grant_behind_by_two_waits_even_within_the_grace(provider, restored, facts):
    facts(grace_seconds=600)
    run_worker()
    assert RestoredGrant.objects.filter(resumed_at=None).count() == 5


def test_grant_that_does_not_rotate_goes_on_by_itself(provider, grant, facts, make_backup):
    provider.grants.rotation = "none"
    facts(rotates=False)
    row = grant()
    backup = make_backup()
    refresh_all([row], times=2)
    backup.restore()
    run_worker()
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1
    assert not RestoredGrant.objects.exists()


def test_import_of_a_fresh_grant_ends_the_wait(provider, restored, account, app):
    run_worker()
    row = restored[0]
    tokens = provider.grants.authorize("user-0")
    body = {"kind": "fake_oauth2", "user_id": "user-0", "expires_at": "2026-01-01T00:00:00Z"}
    make_credential(account, {"properties": {**body, **tokens}, "oauth_app_id": str(app.id)})
    assert provider.grants.is_alive(refresh(row))
    note_waiting_grants()
    assert not RestoredGrant.objects.filter(credential_id=row.id).exists()


def test_accepted_access_token_does_not_end_the_warning(provider, restored):
    run_worker()
    from credentials.health.evidence import Evidence
    from credentials.health.services import record_evidence

    evidence = Evidence(source="probe", verdict="ok", note="Fake accepted it.", code="http_200")
    for row in restored:
        record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )
    assert set(Credential.objects.values_list("health_status", flat=True)) == {"warn"}


def test_declared_restore_lets_due_grants_wait(provider, grant):
    rows = [grant("due"), grant("later", expires_at="2099-01-01T00:00:00Z")]
    run_command("--at", "2026-01-01T00:00:00Z")
    assert list(RestoredGrant.objects.values_list("credential_id", flat=True)) == [rows[0].id]
    run_command("--at", "2026-01-01T00:00:00Z", "--every-grant")
    assert RestoredGrant.objects.count() == 2


def test_readyz_and_admin_name_the_restore(provider, restored, client, admin_client):
    assert client.get("/readyz").json() == {"status": "ok"}
    run_worker()
    assert client.get("/readyz").json() == {
        "status": "ok",
        "warnings": ["restore: grants wait for a decision, see manage.py restored."],
    }
    assert (
        "The database was restored to its state of" in admin_client.get("/admin/").content.decode()
    )
    run_command("--resume")
    assert client.get("/readyz").json() == {"status": "ok"}


def test_table_is_read_in_windows(provider, grant, monkeypatch):
    monkeypatch.setattr(marking, "_WINDOW", 2)
    monkeypatch.setattr(marking, "BATCH", 1)
    rows = [grant(f"user-{n}") for n in range(5)]
    run_command("--at", "2026-01-01T00:00:00Z")
    assert RestoredGrant.objects.count() == len(rows)


def test_caller_does_not_wait_for_the_marking(provider, restored, monkeypatch):
    monkeypatch.setattr(services, "MAX_RESTORE_WAIT_SECONDS", 0.01)
    calls = len(provider.calls)
    with restored_database._lock, pytest.raises(ServiceUnavailableError) as caught:
        refresh(restored[0])
    assert (caught.value.extra["code"], caught.value.retry_after) == ("database_restored", 5)
    assert len(provider.calls) == calls


def test_credentials_that_share_a_grant_wait_and_resume_together(provider, grant):
    first, second = grant("ann"), grant("bob")
    Credential.objects.filter(id=second.id).update(grant_id=first.grant_id)
    run_command("--at", "2026-01-01T00:00:00Z")
    for row in (first, second):
        with pytest.raises(ServiceUnavailableError) as caught:
            refresh(row)
        assert caught.value.extra["code"] == "database_restored"
    assert run_command("--resume", "--id", str(second.id)) == "resumed=2\n"
    refresh(first)
    assert len(provider.calls) == 1
