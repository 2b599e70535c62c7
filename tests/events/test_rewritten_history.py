"""A rewritten audit log is found although a worker covers it again."""

from __future__ import annotations

import datetime as dt
import uuid
from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import F

from events import hash_chain
from events.anchors import compute_anchor
from events.hash_chain import CheckpointWriter, write_next_checkpoint
from events.models import AccountCheckpoint, Event, EventCheckpoint, SealingDelay
from events.services import NewEvent, record_events
from events.verification import verify_events
from tests.events.test_hash_chain import _own_database_only, remove_checkpoints
from tests.factories import TESTER

__all__ = ["_own_database_only"]
"""A fixture that each test uses."""

DAY = dt.timedelta(days=1)


def record_updates(account, count: int) -> None:
    events = [NewEvent("credential.updated", uuid.uuid4(), ["name"]) for _ in range(count)]
    record_events(TESTER, account.id, "credential", events)


def cover(writer: CheckpointWriter) -> None:
    for _ in range(100):
        if not writer.write_next(limit=5) and not verify_events().uncovered_events:
            return


def rewrite_events() -> None:
    """Do what an attacker does who wants to blame another token."""
    Event.objects.filter(verb="credential.updated").update(actor="token:innocent")


def run_command(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_events", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def writer(account, other_account) -> CheckpointWriter:
    """A worker that has covered events of two accounts."""
    writer = CheckpointWriter()
    record_updates(account, 7)
    record_updates(other_account, 6)
    cover(writer)
    assert verify_events().errors == []
    return writer


@pytest.fixture
def old_events(writer) -> None:
    """Events of yesterday, covered in time as far as a reader without the keys can see."""
    remove_checkpoints(after=0)
    Event.objects.update(time=F("time") - DAY)


def test_a_running_worker_does_not_cover_history_again(writer):
    remove_checkpoints(after=0)
    rewrite_events()
    cover(writer)
    code, _, err = run_command()
    assert code == 1
    assert "checkpoints are missing" in err


def test_a_running_worker_reports_that_events_and_checkpoints_are_gone(writer):
    remove_checkpoints(after=0)
    Event.objects.all().delete()
    writer.write_next()
    assert any("checkpoints are missing" in error for error in verify_events().errors)


def test_a_running_worker_reports_that_the_newest_checkpoints_are_gone(writer, account):
    first = EventCheckpoint.objects.exclude(count=0).earliest("number")
    remove_checkpoints(after=first.number)
    Event.objects.filter(position__gt=first.upto).delete()
    assert verify_events().errors == []
    writer.write_next()
    assert any("checkpoints are missing" in error for error in verify_events().errors)
    # Once is enough, and new events are covered.
    record_updates(account, 2)
    cover(writer)
    assert len([e for e in verify_events().errors if "are missing" in e]) == 1


def test_a_running_worker_reports_that_another_covered_rewritten_events(writer):
    remove_checkpoints(after=0)
    rewrite_events()
    cover(CheckpointWriter())
    assert verify_events().errors == []
    writer.write_next()
    assert any("it was changed" in error for error in verify_events().errors)


def test_a_checkpoint_much_later_than_its_events_is_reported(old_events):
    rewrite_events()
    cover(CheckpointWriter())
    code, _, err = run_command()
    assert code == 1
    assert "Either no worker ran, or the audit log was rewritten" in err


def test_a_delay_that_is_recorded_is_not_reported(old_events):
    cover(CheckpointWriter())
    code, out, err = run_command("--record-delays", "The worker was stopped for a week.")
    assert (code, err) == (0, "")
    assert "Recorded the reason for " in out
    code, out, _ = run_command()
    assert code == 0
    assert f"delays={SealingDelay.objects.count()}" in out


def test_a_recorded_delay_does_not_explain_a_batch_that_was_rewritten_later(old_events):
    cover(CheckpointWriter())
    assert run_command("--record-delays", "The worker was stopped.")[0] == 0
    remove_checkpoints(after=0)
    rewrite_events()
    cover(CheckpointWriter())
    assert run_command()[0] == 1


def test_a_delay_that_latchkey_did_not_record_explains_nothing(old_events):
    cover(CheckpointWriter())
    SealingDelay.objects.create(
        after=0, upto=2**62, reason="x", recorded_at="2026-01-01T00:00:00Z", digest=bytes(32)
    )
    errors = verify_events().errors
    assert any("was changed or inserted" in error for error in errors)
    assert any("no worker ran" in error for error in errors)


def test_a_running_worker_knows_why_events_waited(writer, account, monkeypatch):
    monkeypatch.setattr(hash_chain, "_is_settled", lambda mark: False)
    record_updates(account, 3)
    assert writer.write_next() == 0
    newest = Event.objects.filter(position__gt=EventCheckpoint.objects.latest("number").upto)
    # Two hours pass while a transaction is open.
    assert newest.update(time=F("time") + DAY) == 3
    monkeypatch.setattr("events.hash_chain.db_now", lambda: _get_newest_time() + DAY / 12)
    monkeypatch.setattr(hash_chain, "_is_settled", lambda mark: True)
    cover(writer)
    assert verify_events().errors == []
    assert EventCheckpoint.objects.latest("number").continued


def _get_newest_time() -> dt.datetime:
    return Event.objects.latest("time").time


@pytest.mark.parametrize(
    "change",
    [
        {"sealed_at": "2026-01-01T00:00:00Z"},
        {"mark_position": F("mark_position") + 1},
        {"mark_xact": F("mark_xact") + 1},
        {"continued": ~F("continued")},
        {"count": F("count") + 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_verify_finds_a_changed_checkpoint(writer, change):
    newest = EventCheckpoint.objects.latest("number")
    if "continued" in change:
        change = {"continued": not newest.continued}
    EventCheckpoint.objects.filter(number=newest.number).update(**change)
    assert any("it was changed" in error for error in verify_events().errors)


@pytest.mark.parametrize("name", ["number", "first", "count", "sealed_at"])
def test_verify_finds_a_changed_checkpoint_of_an_account(writer, name):
    row = AccountCheckpoint.objects.latest("id")
    value = row.sealed_at - DAY if name == "sealed_at" else getattr(row, name) + 1
    AccountCheckpoint.objects.filter(id=row.id).update(**{name: value})
    assert verify_events().errors


def test_each_account_has_a_chain_without_gaps(writer, account, other_account):
    for owner in (account, other_account):
        rows = AccountCheckpoint.objects.filter(account=owner).order_by("number")
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        places = [place for row in rows for place in range(row.first, row.first + row.count)]
        assert places == list(range(1, Event.objects.filter(account=owner).count() + 1))


def test_the_digest_over_all_heads_is_found_again(writer, account):
    anchor = compute_anchor()
    assert anchor is not None
    assert anchor.chains == 2
    record_updates(account, 8)
    cover(writer)
    code, out, err = run_command("--since-anchor", anchor.text)
    assert (code, err) == (0, "")
    assert " sealed=8 " in out


def test_a_history_that_was_rewritten_without_a_worker_is_found_by_an_anchor(writer):
    anchor = compute_anchor()
    assert anchor is not None
    number = EventCheckpoint.objects.count()
    remove_checkpoints(after=0)
    rewrite_events()
    cover(CheckpointWriter())
    while EventCheckpoint.objects.count() < number:
        record_updates(Event.objects.earliest("position").account, 1)
        cover(CheckpointWriter())
    assert run_command()[0] == 0
    code, _, err = run_command("--since-anchor", anchor.text)
    assert code == 1
    assert "The chains are not those of the anchor" in err


def test_a_shortened_log_is_found_by_an_anchor(writer):
    anchor = compute_anchor()
    assert anchor is not None
    remove_checkpoints(after=0)
    Event.objects.all().delete()
    code, _, err = run_command("--since-anchor", anchor.text)
    assert code == 1
    assert "does not exist any more" in err


def test_a_process_that_just_started_writes_the_next_checkpoint(writer, account):
    record_updates(account, 1)
    assert write_next_checkpoint() == 1
    assert verify_events().errors == []
