"""A database that went back is recognised by its mark, its place and the journal."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from common.db.clock import db_now
from credentials.core.grant_state import get_grant
from credentials.models import Credential
from credentials.refresh import restored_database
from credentials.refresh.restored_database import DATABASE_MARKS, require_current_database
from credentials.restore import journal, mark_file, recognition
from credentials.restore.identity import build_identity_sql, find_difference
from credentials.restore.models import DatabaseMark, DatabaseRestore, RestoredGrant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings, tmp_path: Path) -> Path:
    settings.SPOOL_DIR = str(tmp_path / "spool")
    recognition.forget_seen_mark()
    return tmp_path / "spool"


def count_marks(times: int) -> None:
    for _ in range(times):
        DATABASE_MARKS.run(True)


def test_first_start_is_no_restore():
    require_current_database()
    assert DatabaseMark.objects.count() == 1
    assert not DatabaseRestore.objects.exists()


def test_marks_count_up_in_database_and_file():
    count_marks(3)
    seen = mark_file.read_mark()
    assert seen
    assert (seen.number, DatabaseMark.objects.get().number) == (3, 3)


def test_lower_number_than_the_file_has_is_a_restore():
    count_marks(3)
    DatabaseMark.objects.update(number=2)
    recognition.forget_seen_mark()
    require_current_database()
    restore = DatabaseRestore.objects.get()
    assert (restore.reason, restore.marked_at is not None) == ("mark", True)
    require_current_database()
    assert DatabaseRestore.objects.count() == 1


def test_number_is_remembered_without_the_file(folder):
    count_marks(3)
    (folder / "database.mark").unlink()
    DatabaseMark.objects.update(number=2)
    require_current_database()
    assert DatabaseRestore.objects.count() == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"installation": 1}'])
def test_damaged_file_stops_nothing(folder, content):
    count_marks(1)
    (folder / "database.mark").write_bytes(content)
    recognition.forget_seen_mark()
    require_current_database()
    assert not DatabaseRestore.objects.exists()


def test_file_of_another_database_is_ignored(folder):
    mark_file.write_mark(mark_file.SeenMark(uuid.uuid4(), 99, uuid.uuid4()))
    require_current_database()
    assert not DatabaseRestore.objects.exists()


def test_unwritable_folder_stops_nothing(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.SPOOL_DIR = str(tmp_path / "file" / "spool")
    count_marks(2)
    journal.append_refresh(uuid.uuid4(), 1, db_now())
    assert DatabaseMark.objects.get().number == 2


@pytest.mark.parametrize(
    ("former", "present", "difference"),
    [
        ("00000001:7:1/2", "00000001:7:1/2", None),
        ("00000001:7:1/2", "00000002:7:1/2", "timeline"),
        ("00000001:7:1/2", "00000001:8:1/2", "system"),
        ("00000001:7:1/2", "00000001:7:1/3", "copy"),
        ("00000001::1/2", "00000001:7:1/2", None),
        ("", "", None),
        ("", "00000001:7:1/2", None),
    ],
)
def test_identities_are_compared_by_the_parts_that_both_have(former, present, difference):
    assert find_difference(former, present) == difference


def test_another_place_of_the_database_is_a_restore(monkeypatch):
    require_current_database()
    DatabaseMark.objects.update(identity="00000001:7:1/2")
    monkeypatch.setattr(recognition, "build_identity_sql", lambda: "'00000002:7:1/2'")
    require_current_database()
    assert DatabaseRestore.objects.get().reason == "timeline"
    assert DatabaseMark.objects.get().identity == "00000002:7:1/2"


def test_identity_of_this_database_has_all_parts(db):
    require_current_database()
    parts = DatabaseMark.objects.get().identity.split(":")
    if build_identity_sql() == "''":
        assert parts == [""]
    else:
        assert len(parts) == 3
        assert all(parts)


def test_another_machine_adds_the_grants_of_its_journal(grant, settings, tmp_path):
    """Its refreshes ahead of time are known to itself alone."""
    settings.SPOOL_DIR = str(tmp_path / "other")
    row = grant(expires_at="2099-01-01T00:00:00Z")
    count_marks(1)
    journal.append_refresh(row.id, get_grant(row).generation + 1, db_now())

    settings.SPOOL_DIR = str(tmp_path / "first")
    recognition.forget_seen_mark()
    count_marks(1)
    DatabaseMark.objects.update(number=0)
    require_current_database()
    assert not RestoredGrant.objects.exists()

    settings.SPOOL_DIR = str(tmp_path / "other")
    recognition.forget_seen_mark()
    require_current_database()
    assert RestoredGrant.objects.get().credential_id == row.id
    assert DatabaseRestore.objects.count() == 1


def test_interrupted_recognition_is_finished_by_the_next_process(grant, monkeypatch):
    grant()
    count_marks(2)
    DatabaseMark.objects.update(number=0)
    with monkeypatch.context() as patch:
        patch.setattr(recognition, "_end_restore", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            require_current_database()
    assert DatabaseRestore.objects.get().marked_at is None
    recognition.forget_seen_mark()
    require_current_database()
    assert DatabaseRestore.objects.get().marked_at
    assert RestoredGrant.objects.count() == 1


def test_journal_keeps_the_highest_generation_and_skips_damaged_lines(folder):
    first, second = uuid.uuid4(), uuid.uuid4()
    for generation in (1, 3, 2):
        journal.append_refresh(first, generation, db_now())
    journal.append_refresh(second, 7, db_now())
    with (folder / "refreshes.journal").open("ab") as stream:
        stream.write(b"\xff torn")
    drained = journal.drain_journal()
    assert drained.generations == {first: 3, second: 7}
    assert journal.drain_journal().generations == {first: 3, second: 7}
    drained.delete()
    assert journal.drain_journal().generations == {}


def test_journal_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(journal, "MAX_BYTES", 1000)
    ids = [uuid.uuid4() for _ in range(100)]
    for id in ids:
        journal.append_refresh(id, 1, db_now())
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2200
    assert ids[-1] in journal.drain_journal().generations


def test_refresh_is_in_the_journal(provider, grant, settings):
    from tests.credentials.restore.test_restored_grants import refresh

    row = grant()
    refresh(row)
    assert journal.drain_journal().generations == {row.id: 1}
    assert get_grant(Credential.objects.get(id=row.id)).generation == 1


def test_mark_is_in_the_log_once_an_hour(monkeypatch, caplog):
    monkeypatch.setattr(restored_database, "_logged_at", [-restored_database.LOG_EVERY])
    count_marks(3)
    assert sum("database.mark" in str(record.msg) for record in caplog.records) == 1
