"""Probes by the worker."""

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
    monkeypatch.setattr(registration, "_fully_swept", -registration.FULL_SWEEP_SECONDS)


def run_worker(limit: int = 50) -> list[uuid.UUID]:
    claims = tasks.claim("me", limit)
    for claim in claims:
        tasks.run(claim)
    return [claim.row.pk for claim in claims]


def get_status(row: Credential) -> Any:
    return Credential.objects.get(id=row.id).health_status


def get_seconds_to_next() -> float:
    at = tasks.next_due()
    assert at is not None
    return (at - db_now()).total_seconds()


def get_hours_to_next(row: Credential) -> float:
    at: Any = ProbeState.objects.get(credential_id=row.id).next_at
    hours: float = (at - db_now()).total_seconds() / 3600
    return hours


def test_new_credential_is_probed_soon(key, stripe):
    assert run_worker() == [key.id]
    assert get_status(key) == "ok"


def test_import_inserts_no_probe_state(key):
    assert not ProbeState.objects.exists()


def test_probe_is_repeated_after_a_day(key, stripe, settings):
    run_worker()
    assert 22.5 < get_hours_to_next(key) < 25.5
    assert run_worker() == []
    settings.CLOCK_SHIFT_SECONDS = 26 * 3600
    assert run_worker() == [key.id]


def test_missing_response_is_retried_with_growing_delays(key, stripe, settings):
    stripe.say(503)
    waits = []
    for _ in range(3):
        run_worker()
        waits.append(get_hours_to_next(key) * 60)
        settings.CLOCK_SHIFT_SECONDS = getattr(settings, "CLOCK_SHIFT_SECONDS", 0) + 3600
    assert [round(wait / 5) for wait in waits] == [1, 2, 4]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_defers_all_credentials_of_provider(key, stripe, account, settings, form):
    date = email.utils.formatdate(time.time() + 600, usegmt=True)
    stripe.say(429, headers=(f"Retry-After: {600 if form == 'seconds' else date}",))
    run_worker()
    make_credential(account)
    assert run_worker() == []
    settings.CLOCK_SHIFT_SECONDS = 700
    stripe.say(200)
    assert len(run_worker()) == 2


def test_kind_without_probe_is_checked_weekly(account):
    row = make_credential(account, {"properties": {"kind": "slack_key", "key": "xoxb-1"}})
    run_worker()
    assert 150 < get_hours_to_next(row) < 185
    assert Credential.objects.get(id=row.id).health["notes"] == []


def test_workers_share_five_probes_a_second_per_provider(account, stripe, settings):
    for _ in range(7):
        make_credential(account)
    assert len(tasks.claim("one", 50)) == 5
    assert tasks.claim("two", 50) == []
    settings.CLOCK_SHIFT_SECONDS = 2
    assert len(tasks.claim("two", 50)) == 2


def test_other_provider_is_not_deferred(account):
    for _ in range(9):
        make_credential(account)
    other = make_credential(account, {"properties": {"kind": "sendgrid_key", "key": "SG.1"}})
    assert other.id in [claim.row.pk for claim in tasks.claim("me", 50)]


def test_limit_is_respected(account):
    for _ in range(4):
        make_credential(account)
    assert len(tasks.claim("me", 3)) == 3


def test_outage_slows_probes_of_provider(account, stripe, settings):
    rows = [make_credential(account) for _ in range(5)]
    stripe.say(503)
    run_worker()
    for row in rows:
        ProbeState.objects.filter(credential_id=row.id).update(next_at=db_now())
    settings.CLOCK_SHIFT_SECONDS = 5
    assert len(run_worker()) == 1
    settings.CLOCK_SHIFT_SECONDS = 10
    assert run_worker() == []


def test_reported_credential_is_probed_first(account, key, stripe, settings):
    for _ in range(9):
        make_credential(account)
    tasks.claim("me", 5)
    settings.CLOCK_SHIFT_SECONDS = 2
    ProbeState.objects.filter(credential_id=key.id).update(urgent=True, next_at=db_now())
    assert next(claim.row.pk for claim in tasks.claim("you", 5)) == key.id


def test_reports_keep_the_pace_of_their_provider(account, key, stripe):
    for _ in range(9):
        make_credential(account)
    tasks.claim("me", 5)
    ProbeState.objects.update(urgent=True, next_at=db_now())
    assert tasks.claim("you", 5) == []


def test_report_during_probe_is_kept(key, stripe, settings):
    (claim,) = tasks.claim("me", 5)
    settings.CLOCK_SHIFT_SECONDS = 2
    ProbeState.objects.update(urgent=True, next_at=db_now())
    tasks.run(claim)
    assert run_worker() == [key.id]


def test_expired_lease_is_claimed_by_another_worker(key, stripe, settings):
    tasks.claim("dead", 5)
    settings.CLOCK_SHIFT_SECONDS = 59
    assert run_worker() == []
    settings.CLOCK_SHIFT_SECONDS = 61
    assert run_worker() == [key.id]


def test_deleted_credential_is_ignored(key):
    (claim,) = tasks.claim("me", 5)
    Credential.objects.filter(id=key.id).delete()
    tasks.run(claim)
    assert not ProbeState.objects.exists()


def test_undecryptable_row_blocks_nothing(account, stripe, break_seal):
    bad, good = make_credential(account), make_credential(account)
    break_seal(bad)
    run_worker()
    assert (get_status(bad), get_status(good)) == ("error", "ok")


def test_replaced_secret_is_probed_soon(key, stripe):
    run_worker()
    reset_probe_states(account_id=key.account_id, ids=[key.id])
    ProviderGate.objects.update(open_at=db_now())
    assert run_worker() == [key.id]


def test_late_credentials_are_registered(account, stripe):
    late = make_credential(account)
    make_credential(account)
    registration.register_new()
    ProbeState.objects.filter(credential_id=late.id).delete()
    registration._swept = -registration.SWEEP_SECONDS
    registration.register_new()
    assert ProbeState.objects.filter(credential_id=late.id).exists()


def test_id_of_a_clock_that_is_ahead_hides_no_later_credential(account, monkeypatch):
    monkeypatch.setattr(registration, "_fully_swept", time.monotonic())
    with monkeypatch.context() as clock:
        a_year_ahead = time.time_ns() + 365 * 24 * 3600 * 10**9
        clock.setattr("common.db.ids._last", 0)
        clock.setattr("common.db.ids.time.time_ns", lambda: a_year_ahead)
        make_credential(account)
    registration.register_new()
    later = make_credential(account)
    registration.register_new()
    assert ProbeState.objects.filter(credential_id=later.id).exists()


def test_credential_of_a_clock_that_is_behind_is_registered_within_the_hour(account, monkeypatch):
    with monkeypatch.context() as clock:
        a_day_behind = time.time_ns() - 24 * 3600 * 10**9
        clock.setattr("common.db.ids._last", 0)
        clock.setattr("common.db.ids.time.time_ns", lambda: a_day_behind)
        behind = make_credential(account)
    make_credential(account)
    registration.register_new()
    ProbeState.objects.filter(credential_id=behind.id).delete()
    monkeypatch.setattr(registration, "_fully_swept", -registration.FULL_SWEEP_SECONDS)
    registration.register_new()
    assert ProbeState.objects.filter(credential_id=behind.id).exists()


def test_registration_continues_after_a_chunk(account, monkeypatch):
    monkeypatch.setattr(registration, "CHUNK", 2)
    rows = [make_credential(account) for _ in range(5)]
    counts = [registration.register_new() for _ in range(3)]
    assert sum(counts) >= 5
    assert ProbeState.objects.count() == len(rows)


def test_next_due_is_the_next_probe(key, stripe):
    assert tasks.next_due() is None
    registration.register_new()
    assert get_seconds_to_next() <= 0
    run_worker()
    assert get_seconds_to_next() > 20 * 3600


def test_next_due_respects_provider_gate(account):
    for _ in range(6):
        make_credential(account, make_stripe_body())
    tasks.claim("me", 5)
    assert 0 < get_seconds_to_next() <= 1
