"""Batches of the trail are sealed, and a change shows."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from common.db.ids import uuid7
from events.hash_chain import write_next_checkpoint
from events.models import Event, EventSeal
from events.services import EventTarget, NewEvent, record_event, record_events
from events.verification import verify_events
from tests.factories import TESTER, make_account


def happen(account, count: int = 1) -> None:
    events = [NewEvent("credential.updated", uuid.uuid4(), ["name"]) for _ in range(count)]
    record_events(TESTER, account.id, "credential", events)


def seal_all(limit: int = 5) -> int:
    """Seal until all is: another test's transaction in the same cluster may be open for a moment."""
    sealed, until = 0, time.monotonic() + 30
    while verify_events().uncovered_events and time.monotonic() < until:
        sealed += write_next_checkpoint(limit=limit)
    return sealed


def faults() -> list[str]:
    return verify_events().errors


def seal_of(event: Event) -> EventSeal:
    """The seal of the event's batch. Where others had transactions open, there are empty ones too."""
    return EventSeal.objects.filter(upto__gte=event.position, count__gt=0).earliest("number")


@pytest.fixture
def sealed(account) -> list[Event]:
    """Twelve events and those of the account's making, sealed by fives."""
    happen(account, 12)
    seal_all()
    return list(Event.objects.order_by("position"))


def test_everything_is_sealed_in_batches(sealed):
    found = verify_events()
    assert (found.errors, found.uncovered_events, found.covered_events) == ([], 0, len(sealed))
    counts = list(
        EventSeal.objects.exclude(count=0).order_by("number").values_list("count", flat=True)
    )
    assert counts == [5, 5, len(sealed) - 10]


def test_a_typed_reason_is_sealed_as_the_database_has_it(account):
    target = EventTarget("t", account.id, uuid.uuid4())
    record_event(TESTER, target, "v", detail={"reason": '<b>Für “Zoë”</b> \\ " 🔑', "at": 7})
    seal_all()
    assert (verify_events().errors, verify_events().uncovered_events) == ([], 0)


def test_positions_are_in_the_order_of_writing(account):
    happen(account, 3)
    record_event(TESTER, EventTarget("t", account.id, uuid.uuid4()), "v")
    positions = list(Event.objects.order_by("id").values_list("position", flat=True))
    assert positions == sorted(position for position in positions if position is not None)


def test_sealing_again_without_news_does_nothing(sealed):
    before = EventSeal.objects.count()
    assert write_next_checkpoint() == 0
    assert EventSeal.objects.count() == before


def test_news_are_sealed_after(sealed, account):
    happen(account, 2)
    assert verify_events().uncovered_events == 2
    assert seal_all() == 2
    assert faults() == []


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "credential.created"},
        {"actor": "somebody-else"},
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
def test_a_changed_event_shows(sealed, change):
    Event.objects.filter(id=sealed[6].id).update(**change)
    assert any("changed" in fault for fault in faults())


def test_a_changed_account_shows(sealed, other_account):
    seal_all()
    Event.objects.filter(id=sealed[6].id).update(account=other_account)
    assert any("changed" in fault for fault in faults())


@pytest.mark.parametrize("which", [0, 6, -1])
def test_a_removed_event_shows(sealed, which):
    Event.objects.filter(id=sealed[which].id).delete()
    (fault,) = faults()
    assert "1 are missing" in fault


def forged(event: Event, **more: Any) -> None:
    values = {f.attname: getattr(event, f.attname) for f in Event._meta.concrete_fields}
    Event.objects.create(**{**values, "id": uuid7(), **more})


def test_an_event_put_in_the_middle_shows(sealed):
    # Make room as a rolled-back transaction would have left it.
    Event.objects.filter(position__gt=sealed[6].position).delete()
    EventSeal.objects.filter(number__gt=seal_of(sealed[0]).number).delete()
    Event.objects.filter(id=sealed[6].id).update(position=sealed[6].position + 1)
    seal_all()
    assert faults() == []
    forged(sealed[6], position=sealed[6].position)
    (fault,) = faults()
    assert "1 events were put in" in fault


def test_an_event_put_in_with_an_old_time_shows(sealed, account):
    happen(account)
    newest = Event.objects.latest("position")
    assert newest.position is not None
    forged(sealed[0], position=newest.position + 1, time="2026-01-01T00:00:00Z")
    (fault,) = faults()
    assert "was written after" in fault
    seal_all()
    assert len(faults()) == 1


def test_an_event_that_no_service_wrote_shows(sealed):
    forged(sealed[0], position=None)
    (fault,) = faults()
    assert "no position" in fault


def test_reordered_events_show(sealed):
    one, other = sealed[6], sealed[7]
    Event.objects.filter(id=one.id).update(position=None)
    Event.objects.filter(id=other.id).update(position=one.position)
    Event.objects.filter(id=one.id).update(position=other.position)
    (fault,) = faults()
    assert "moved" in fault


def test_a_removed_seal_shows(sealed):
    seal_of(sealed[6]).delete()
    assert any("seals are missing" in fault for fault in faults())


def test_a_seal_made_without_the_key_shows(sealed):
    Event.objects.filter(id=sealed[6].id).update(actor="somebody-else")
    seal = seal_of(sealed[6])
    EventSeal.objects.filter(number=seal.number).update(digest=bytes(seal.digest)[::-1])
    assert len(faults()) == 2  # Its own, and the next one's that stands on it.


def test_a_shortened_trail_shows_to_who_knows_a_later_seal(sealed):
    known = verify_events().latest_checkpoint
    Event.objects.filter(position__gt=sealed[4].position).delete()
    EventSeal.objects.filter(number__gt=seal_of(sealed[4]).number).delete()
    assert faults() == []
    assert verify_events(known=known).errors == [f"The seal {known} is not there any more."]


def test_a_known_seal_is_found_while_it_is_there(sealed, account):
    known = verify_events().latest_checkpoint
    happen(account, 3)
    seal_all()
    assert verify_events(known=known).errors == []


def test_the_keys_are_not_those_of_another_database(sealed, monkeypatch):
    monkeypatch.setattr("events.hash_chain.get_signing_key", lambda purpose: b"k" * 32)
    assert faults()


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_events", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_the_command_says_that_all_is_well_and_what_is_not_sealed_yet(sealed, account):
    happen(account, 2)
    code, out, err = run()
    assert (code, err) == (0, "")
    assert (
        f" sealed={len(sealed)} unsealed=2 faults=0 last={verify_events().latest_checkpoint}" in out
    )


def test_the_command_exits_1_and_names_each_fault(sealed):
    Event.objects.filter(id=sealed[0].id).delete()
    code, out, err = run()
    assert code == 1
    assert "faults=1" in out
    assert err.count("\n") == 1
    assert f"Seal {seal_of(sealed[1]).number} (positions " in err


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_seal_each_event_once():
    happen(make_account(), 60)

    def worker(_: int) -> int:
        try:
            return seal_all(limit=3)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        sealed = sum(pool.map(worker, range(4)))
    found = verify_events()
    assert (found.errors, found.uncovered_events, found.covered_events) == ([], 0, sealed)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_events_of_a_long_transaction_are_sealed_after_it_and_none_before():
    account = make_account()
    other = connection.copy()
    seal_all()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO events_event (id, account_id, verb, actor, target_type, target_id,"
                " changed, request_id) VALUES (gen_random_uuid(), %s, 'late', 'x', 't',"
                " gen_random_uuid(), '[]', '')",
                [account.id],
            )
        happen(account, 3)  # Committed at once, with later positions.
        for _ in range(3):
            assert write_next_checkpoint() == 0
        assert verify_events().uncovered_events == 3
        other.commit()
    finally:
        other.close()
    assert seal_all() == 4
    assert faults() == []
    late = Event.objects.get(verb="late")
    assert late.position is not None
    assert Event.objects.filter(position__gt=late.position).count() == 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_sealing_goes_on_though_there_is_always_some_transaction_open():
    account = make_account()
    seal_all()
    happen(account)
    for _ in range(2):
        other = connection.copy()
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
        write_next_checkpoint()
        happen(account)
        other.commit()
        other.close()
    until = time.monotonic() + 30
    while not verify_events().covered_events and time.monotonic() < until:
        write_next_checkpoint()
    assert verify_events().covered_events
    assert faults() == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="xids are PostgreSQL's")
def test_a_database_that_was_restored_elsewhere_is_sealed_on(sealed, account):
    """Its transactions are numbered anew, lower than the mark's."""
    last = EventSeal.objects.latest("number")
    happen(account, 3)
    highest = Event.objects.latest("position").position
    EventSeal.objects.filter(number=last.number).update(mark_position=highest, mark_xact=2**62)
    assert write_next_checkpoint() == 3
