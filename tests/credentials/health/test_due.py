"""What the worker probes, and when."""

from __future__ import annotations

import email.utils
import time
import uuid
from typing import Any

import pytest

from common.db.clock import db_now
from credentials.health import registration
from credentials.health.models import ProbeState, ProviderGate
from credentials.health.services import reset_probe_states
from credentials.models import Credential
from credentials.probing import tasks
from tests.factories import make_credential, make_stripe_body

pytestmark = pytest.mark.django_db
DAY = 86400


@pytest.fixture(autouse=True)
def _sweep(monkeypatch):
    monkeypatch.setattr(registration, "_swept", -registration.SWEEP_SECONDS)


def work(limit: int = 50) -> list[uuid.UUID]:
    claims = tasks.claim("me", limit)
    for claim in claims:
        tasks.run(claim)
    return [claim.row.pk for claim in claims]


def status(row: Credential) -> Any:
    return Credential.objects.get(id=row.id).health_status


def seconds_to_next() -> float:
    at = tasks.next_due()
    assert at is not None
    return (at - db_now()).total_seconds()


def in_hours(row: Credential) -> float:
    at: Any = ProbeState.objects.get(credential_id=row.id).next_at
    hours: float = (at - db_now()).total_seconds() / 3600
    return hours


def test_a_new_credential_is_probed_soon(key, stripe):
    assert work() == [key.id]
    assert status(key) == "ok"


def test_an_import_makes_no_state(key):
    assert not ProbeState.objects.exists()


def test_what_was_probed_is_probed_again_in_a_day(key, stripe, settings):
    work()
    assert 22.5 < in_hours(key) < 25.5
    assert work() == []
    settings.CLOCK_SHIFT_SECONDS = 26 * 3600
    assert work() == [key.id]


def test_silence_is_tried_again_sooner_and_then_ever_later(key, stripe, settings):
    stripe.say(503)
    waits = []
    for _ in range(3):
        work()
        waits.append(in_hours(key) * 60)
        settings.CLOCK_SHIFT_SECONDS = getattr(settings, "CLOCK_SHIFT_SECONDS", 0) + 3600
    assert [round(wait / 5) for wait in waits] == [1, 2, 4]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_provider_says_how_long_to_wait_and_all_its_credentials_do(
    key, stripe, account, settings, form
):
    date = email.utils.formatdate(time.time() + 600, usegmt=True)
    stripe.say(429, headers=(f"Retry-After: {600 if form == 'seconds' else date}",))
    work()
    make_credential(account)
    assert work() == []
    settings.CLOCK_SHIFT_SECONDS = 700
    stripe.say(200)
    assert len(work()) == 2


def test_a_kind_without_a_probe_is_looked_at_once_a_week(account):
    row = make_credential(account, {"properties": {"kind": "slack_key", "key": "xoxb-1"}})
    work()
    assert 150 < in_hours(row) < 185
    assert Credential.objects.get(id=row.id).health["notes"] == []


def test_one_provider_is_asked_five_a_second_by_all_workers_together(account, stripe, settings):
    for _ in range(7):
        make_credential(account)
    assert len(tasks.claim("one", 50)) == 5
    assert tasks.claim("two", 50) == []
    settings.CLOCK_SHIFT_SECONDS = 2
    assert len(tasks.claim("two", 50)) == 2


def test_another_provider_does_not_wait_for_it(account):
    for _ in range(9):
        make_credential(account)
    other = make_credential(account, {"properties": {"kind": "sendgrid_key", "key": "SG.1"}})
    assert other.id in [claim.row.pk for claim in tasks.claim("me", 50)]


def test_a_limit_is_kept(account):
    for _ in range(4):
        make_credential(account)
    assert len(tasks.claim("me", 3)) == 3


def test_an_outage_slows_its_provider_down(account, stripe, settings):
    rows = [make_credential(account) for _ in range(5)]
    stripe.say(503)
    work()
    for row in rows:
        ProbeState.objects.filter(credential_id=row.id).update(next_at=db_now())
    settings.CLOCK_SHIFT_SECONDS = 5
    assert len(work()) == 1
    settings.CLOCK_SHIFT_SECONDS = 10
    assert work() == []


def test_what_a_caller_reported_does_not_wait(account, key, stripe):
    for _ in range(9):
        make_credential(account)
    tasks.claim("me", 5)
    ProbeState.objects.filter(credential_id=key.id).update(urgent=True, next_at=db_now())
    assert [claim.row.pk for claim in tasks.claim("you", 5)] == [key.id]


def test_a_report_during_a_look_is_not_forgotten(key, stripe):
    (claim,) = tasks.claim("me", 5)
    ProbeState.objects.update(urgent=True, next_at=db_now())
    tasks.run(claim)
    assert work() == [key.id]


def test_a_dead_workers_look_is_anothers_after_its_lease(key, stripe, settings):
    tasks.claim("dead", 5)
    settings.CLOCK_SHIFT_SECONDS = 59
    assert work() == []
    settings.CLOCK_SHIFT_SECONDS = 61
    assert work() == [key.id]


def test_a_deleted_credential_is_no_trouble(key):
    (claim,) = tasks.claim("me", 5)
    Credential.objects.filter(id=key.id).delete()
    tasks.run(claim)
    assert not ProbeState.objects.exists()


def test_a_row_that_does_not_open_blocks_nothing(account, stripe, break_seal):
    bad, good = make_credential(account), make_credential(account)
    break_seal(bad)
    work()
    assert (status(bad), status(good)) == ("error", "ok")


def test_another_secret_is_looked_at_soon(key, stripe):
    work()
    reset_probe_states(account_id=key.account_id, ids=[key.id])
    ProviderGate.objects.update(open_at=db_now())
    assert work() == [key.id]


def test_latecomers_are_found(account, stripe):
    late = make_credential(account)
    make_credential(account)
    registration.register_new()
    ProbeState.objects.filter(credential_id=late.id).delete()
    registration._swept = -registration.SWEEP_SECONDS
    registration.register_new()
    assert ProbeState.objects.filter(credential_id=late.id).exists()


def test_enrolling_goes_on_where_it_stopped(account, monkeypatch):
    monkeypatch.setattr(registration, "CHUNK", 2)
    rows = [make_credential(account) for _ in range(5)]
    counts = [registration.register_new() for _ in range(3)]
    assert sum(counts) >= 5
    assert ProbeState.objects.count() == len(rows)


def test_the_worker_knows_when_the_next_look_is_due(key, stripe):
    assert tasks.next_due() is None
    registration.register_new()
    assert seconds_to_next() <= 0
    work()
    assert seconds_to_next() > 20 * 3600


def test_the_pace_of_a_provider_is_waited_for(account):
    for _ in range(6):
        make_credential(account, make_stripe_body())
    tasks.claim("me", 5)
    assert 0 < seconds_to_next() <= 1
