"""Checkpoints cover the audit log in batches, and verification finds any change."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from common.db import dialect
from common.db.ids import uuid7
from events import hash_chain
from events.hash_chain import write_next_checkpoint
from events.models import AccountCheckpoint, Event, EventCheckpoint
from events.services import EventTarget, NewEvent, record_event, record_events
from events.verification import verify_events
from tests.database import OWN_TRANSACTIONS_SQL
from tests.factories import TESTER, make_account


def record_updates(account, count: int = 1) -> None:
    events = [NewEvent("credential.updated", uuid.uuid4(), ["name"]) for _ in range(count)]
    record_events(TESTER, account.id, "credential", events)


def cover_all(limit: int = 5) -> int:
    """Write checkpoints until every event is covered; return the number of events."""
    covered, until = 0, time.monotonic() + 60
    while verify_events().uncovered_events and time.monotonic() < until:
        if count := write_next_checkpoint(limit=limit):
            covered += count
        else:
            time.sleep(0.02)  # Another thread's transaction is open.
    return covered


def find_errors() -> list[str]:
    return verify_events().errors


def get_checkpoint(event: Event) -> EventCheckpoint:
    """Return the checkpoint of the event's batch, which is not empty."""
    return EventCheckpoint.objects.filter(upto__gte=event.position, count__gt=0).earliest("number")


def remove_checkpoints(*, after: int) -> None:
    EventCheckpoint.objects.filter(number__gt=after).delete()
    AccountCheckpoint.objects.filter(round__gt=after).delete()


@pytest.fixture(autouse=True)
def _own_database_only(monkeypatch) -> None:
    """Ignore the transactions of other tests, which run in other databases of the same cluster.

    One of them can take longer than anyone would wait.
    """
    monkeypatch.setattr(hash_chain, "OLDEST_TRANSACTION_SQL", OWN_TRANSACTIONS_SQL)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="xids are PostgreSQL's")
@pytest.mark.django_db(transaction=True)
def test_an_open_transaction_is_the_oldest_or_younger_than_it(monkeypatch):
    monkeypatch.undo()
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        (number,) = cursor.fetchone()
    oldest = dialect.fetch_on_postgresql(hash_chain.OLDEST_TRANSACTION_SQL, sqlite=0)
    other.rollback()
    other.close()
    assert oldest <= number < hash_chain._get_transaction_number()


@pytest.fixture
def covered_events(account) -> list[Event]:
    """Twelve events and those of creating the account, in batches of five."""
    record_updates(account, 12)
    cover_all()
    return list(Event.objects.order_by("position"))


def test_every_event_is_covered_in_batches(covered_events):
    report = verify_events()
    assert (report.errors, report.uncovered_events, report.covered_events) == (
        [],
        0,
        len(covered_events),
    )
    counts = list(
        EventCheckpoint.objects.exclude(count=0).order_by("number").values_list("count", flat=True)
    )
    assert counts == [5, 5, len(covered_events) - 10]


def test_digest_of_a_typed_reason_matches_what_the_database_returns(account):
    target = EventTarget("t", account.id, uuid.uuid4())
    record_event(TESTER, target, "v", detail={"reason": '<b>Für “Zoë”</b> \\ " 🔑', "at": 7})
    cover_all()
    assert (verify_events().errors, verify_events().uncovered_events) == ([], 0)


def test_positions_follow_the_order_of_insertion(account):
    record_updates(account, 3)
    record_event(TESTER, EventTarget("t", account.id, uuid.uuid4()), "v")
    positions = list(Event.objects.order_by("id").values_list("position", flat=True))
    assert positions == sorted(position for position in positions if position is not None)


def test_no_checkpoint_without_new_events(covered_events):
    before = EventCheckpoint.objects.count()
    assert write_next_checkpoint() == 0
    assert EventCheckpoint.objects.count() == before


def test_new_events_are_covered_by_the_next_checkpoint(covered_events, account):
    record_updates(account, 2)
    assert verify_events().uncovered_events == 2
    assert cover_all() == 2
    assert find_errors() == []


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "credential.created"},
        {"actor": "another-actor"},
        {"changed": ["nothing"]},
        {"detail": {"reason": "Another"}},
        {"ip": "10.0.0.1"},
        {"request_id": "x"},
        {"target_type": "other"},
        {"target_id": uuid.UUID(int=1)},
        {"time": "2026-01-01T00:00:00Z"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_verify_finds_a_changed_event(covered_events, change):
    Event.objects.filter(id=covered_events[6].id).update(**change)
    assert any("changed" in error for error in find_errors())


def test_verify_finds_a_changed_account(covered_events, other_account):
    cover_all()
    Event.objects.filter(id=covered_events[6].id).update(account=other_account)
    missing, inserted = find_errors()
    assert "1 are missing" in missing
    assert f"account {other_account.id}: 1 events were inserted" in inserted


@pytest.mark.parametrize("index", [0, 6, -1])
def test_verify_finds_a_removed_event(covered_events, index):
    Event.objects.filter(id=covered_events[index].id).delete()
    (error,) = find_errors()
    assert "1 are missing" in error


def insert_forged_event(event: Event, **more: Any) -> None:
    values = {f.attname: getattr(event, f.attname) for f in Event._meta.concrete_fields}
    Event.objects.create(**{**values, "id": uuid7(), **more})


def test_verify_finds_an_inserted_event(covered_events):
    # Leave a gap, as a transaction that is rolled back does.
    Event.objects.filter(position__gt=covered_events[6].position).delete()
    remove_checkpoints(after=get_checkpoint(covered_events[0]).number)
    Event.objects.filter(id=covered_events[6].id).update(position=covered_events[6].position + 1)
    cover_all()
    assert find_errors() == []
    insert_forged_event(covered_events[6], position=covered_events[6].position)
    (error,) = find_errors()
    assert "1 events were inserted" in error


def test_verify_finds_an_event_inserted_with_an_old_time(covered_events, account):
    record_updates(account)
    newest = Event.objects.latest("position")
    assert newest.position is not None
    insert_forged_event(
        covered_events[0], position=newest.position + 1, time="2026-01-01T00:00:00Z"
    )
    (error,) = find_errors()
    assert "was written after" in error
    cover_all()
    late, backdated = find_errors()
    assert "were covered only at" in late
    assert backdated == error


def test_verify_finds_an_event_without_a_position(covered_events):
    insert_forged_event(covered_events[0], position=None)
    (error,) = find_errors()
    assert "no position" in error


def test_verify_finds_moved_events(covered_events):
    one, other = covered_events[6], covered_events[7]
    Event.objects.filter(id=one.id).update(position=None)
    Event.objects.filter(id=other.id).update(position=one.position)
    Event.objects.filter(id=one.id).update(position=other.position)
    (error,) = find_errors()
    assert "moved" in error


def test_verify_finds_a_removed_checkpoint(covered_events):
    get_checkpoint(covered_events[6]).delete()
    assert any("checkpoints are missing" in error for error in find_errors())


def test_verify_finds_a_checkpoint_made_without_the_key(covered_events):
    Event.objects.filter(id=covered_events[6].id).update(actor="another-actor")
    checkpoint = get_checkpoint(covered_events[6])
    EventCheckpoint.objects.filter(number=checkpoint.number).update(
        digest=bytes(checkpoint.digest)[::-1]
    )
    # The checkpoint, the account's part of it, and the next checkpoint, which is computed from it.
    assert len(find_errors()) == 3


def test_verify_finds_a_shortened_log_by_a_known_checkpoint(covered_events):
    known = verify_events().latest_checkpoint
    Event.objects.filter(position__gt=covered_events[4].position).delete()
    remove_checkpoints(after=get_checkpoint(covered_events[4]).number)
    assert find_errors() == []
    assert verify_events(known=known).errors == [f"The checkpoint {known} does not exist any more."]


def test_verify_accepts_a_known_checkpoint_that_exists(covered_events, account):
    known = verify_events().latest_checkpoint
    record_updates(account, 3)
    cover_all()
    assert verify_events(known=known).errors == []


def test_verify_rejects_the_keys_of_another_database(covered_events, monkeypatch):
    monkeypatch.setattr("events.digests.get_signing_key", lambda purpose: b"k" * 32)
    assert find_errors()


def run_command(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_events", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_command_prints_how_many_events_are_not_covered_yet(covered_events, account):
    record_updates(account, 2)
    code, out, err = run_command()
    assert (code, err) == (0, "")
    assert (
        f" sealed={len(covered_events)} unsealed=2 faults=0 last={verify_events().latest_checkpoint}"
        in out
    )


def test_command_exits_1_and_prints_each_error(covered_events):
    Event.objects.filter(id=covered_events[0].id).delete()
    code, out, err = run_command()
    assert code == 1
    assert "faults=1" in out
    assert err.count("\n") == 1
    assert f"Checkpoint {get_checkpoint(covered_events[1]).number} (positions " in err


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_cover_each_event_once():
    record_updates(make_account(), 60)

    def worker(_: int) -> int:
        try:
            return cover_all(limit=3)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        covered = sum(pool.map(worker, range(4)))
    report = verify_events()
    assert (report.errors, report.uncovered_events, report.covered_events) == ([], 0, covered)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_a_long_transaction_delays_the_checkpoint_of_later_events():
    account = make_account()
    other = connection.copy()
    cover_all()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO events_event (id, account_id, verb, actor, target_type, target_id,"
                " changed, request_id) VALUES (gen_random_uuid(), %s, 'late', 'x', 't',"
                " gen_random_uuid(), '[]', '')",
                [account.id],
            )
        record_updates(account, 3)  # Committed now, with later positions.
        for _ in range(3):
            assert write_next_checkpoint() == 0
        assert verify_events().uncovered_events == 3
        other.commit()
    finally:
        other.close()
    assert cover_all() == 4
    assert find_errors() == []
    late = Event.objects.get(verb="late")
    assert late.position is not None
    assert Event.objects.filter(position__gt=late.position).count() == 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_checkpoints_progress_although_some_transaction_is_always_open():
    account = make_account()
    cover_all()
    record_updates(account)
    for _ in range(2):
        other = connection.copy()
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
        write_next_checkpoint()
        record_updates(account)
        other.commit()
        other.close()
    until = time.monotonic() + 30
    while not verify_events().covered_events and time.monotonic() < until:
        write_next_checkpoint()
    assert verify_events().covered_events
    assert find_errors() == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="xids are PostgreSQL's")
def test_checkpoints_go_on_in_a_database_that_was_restored_to_another_cluster(
    covered_events, account
):
    # Its transactions have lower numbers than the mark.
    last = EventCheckpoint.objects.latest("number")
    record_updates(account, 3)
    highest = Event.objects.latest("position").position
    EventCheckpoint.objects.filter(number=last.number).update(
        mark_position=highest, mark_xact=2**62
    )
    assert write_next_checkpoint() == 3
