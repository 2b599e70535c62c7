"""Responses that are kept until a standby has them, and stored again after a failover."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.db import dialect
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from credentials.refresh import get_fresh_token, standby
from credentials.refresh.restored_database import require_current_database
from credentials.restore.models import RestoredGrant
from tests.factories import TESTER

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def position(settings, monkeypatch) -> dict[str, int | None]:
    """Keep responses. Return the positions that the database states: `now` and `replayed`."""
    settings.SPOOL_STANDBY_SECONDS = 600
    stated: dict[str, int | None] = {"now": 100, "replayed": None}
    monkeypatch.setattr(dialect, "is_postgresql", lambda: True)
    monkeypatch.setattr(
        standby,
        "_fetch_position",
        lambda expression: stated["replayed" if "replay_lsn" in expression else "now"],
    )
    monkeypatch.setattr(standby, "_released_at", [float("inf")])
    return stated


@pytest.fixture(autouse=True)
def _skip_sqlite():
    if not dialect.is_postgresql():
        pytest.skip("SQLite has no standby")


def refresh(row: Credential) -> None:
    get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, force=True)


def list_kept(settings) -> list[Path]:
    return sorted(Path(settings.SPOOL_DIR).glob("*.kept"))


def test_nothing_is_kept_without_the_setting(provider, grant, settings):
    refresh(grant())
    assert list_kept(settings) == []


def test_response_is_kept_until_a_standby_has_it(provider, grant, settings, position):
    refresh(grant())
    assert len(list_kept(settings)) == 1
    position["replayed"] = 99
    standby.release_kept_responses()
    assert len(list_kept(settings)) == 1
    position["replayed"] = 100
    standby.release_kept_responses()
    assert list_kept(settings) == []


def test_response_is_not_kept_for_ever(provider, grant, settings, position):
    refresh(grant())
    settings.SPOOL_STANDBY_SECONDS = -10
    standby.release_kept_responses()
    assert list_kept(settings) == []


def test_number_of_files_is_bounded(provider, grant, settings, position, monkeypatch):
    monkeypatch.setattr(standby, "MAX_FILES", 2)
    for number in range(4):
        position["now"] = number
        refresh(grant(f"user-{number}"))
    standby.release_kept_responses()
    assert len(list_kept(settings)) == 2


def test_kept_responses_are_stored_after_a_failover(
    provider, grant, settings, position, make_backup
):
    rows = [grant(f"user-{number}") for number in range(3)]
    backup = make_backup()
    for row in rows:
        for _ in range(11):  # Generation 10 follows 9, whatever the order of the names.
            refresh(row)
    backup.restore()
    require_current_database()
    # The mark alone does not tell: no worker has counted since.
    assert {grant.generation for grant in Grant.objects.all()} == {0}
    from credentials.restore.models import DatabaseMark

    DatabaseMark.objects.update(identity="00000000:7:1/2")
    require_current_database()
    assert {grant.generation for grant in Grant.objects.all()} == {11}
    assert list_kept(settings) == []
    assert not RestoredGrant.objects.exists()
    for row in rows:
        refresh(row)
    assert provider.grants.reuses == []


def test_kept_response_of_an_older_grant_is_deleted(provider, grant, settings, position):
    row = grant()
    refresh(row)
    standby.restore_kept_responses()
    assert list_kept(settings) == []
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1
