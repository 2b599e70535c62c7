"""The effect of evidence on credentials and OAuth apps, and its history."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from credentials.health.evidence import Evidence
from credentials.health.models import HealthChange, ProbeState
from credentials.health.services import record_app_evidence, record_evidence, reset_probe_states
from credentials.models import Credential
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.factories import TESTER, make_account, make_app, make_credential

pytestmark = pytest.mark.django_db


def record(row: Credential, source: Any, verdict: Any, code: str = "code") -> bool:
    evidence = Evidence(source=source, verdict=verdict, note=f"{source} {verdict}.", code=code)
    with transaction.atomic():
        return record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )


def get_status(row: Credential) -> Any:
    return Credential.objects.get(id=row.id).health_status


def test_status_change_is_recorded(key):
    assert record(key, "probe", "ok")
    assert get_status(key) == "ok"
    change = HealthChange.objects.get(target_id=key.id)
    assert (change.before, change.after, change.source) == ("unknown", "ok", "probe")
    event = Event.objects.get(target_id=key.id, verb="credential.health_changed")
    assert event.actor == "tester"


def test_repeated_evidence_changes_nothing(key):
    record(key, "probe", "ok")
    assert not record(key, "probe", "ok")
    assert HealthChange.objects.count() == 1


def test_revision_is_unchanged(key):
    record(key, "probe", "rejected")
    assert Credential.objects.get(id=key.id).revision == 1


def test_webhook_is_enqueued(key, monkeypatch):
    calls = []
    monkeypatch.setattr("webhooks.outbox.enqueue", lambda *args: calls.append(args))
    record(key, "probe", "ok")
    record(key, "probe", "ok")
    assert calls == [(key.account_id, [("credential.health_changed", key.id)])]


def test_deleted_credential_has_no_effect(key):
    Credential.objects.filter(id=key.id).delete()
    assert not record(key, "probe", "ok")


@pytest.mark.parametrize("source", ["refresh", "probe", "seal", "expiry"])
def test_definite_rejection_is_error_at_once(key, source):
    record(key, source, "rejected")
    assert get_status(key) == "error"


@pytest.mark.parametrize("source", ["report", "use"])
@pytest.mark.parametrize("verdict", ["rejected", "suspect"])
def test_callers_rejection_is_decided_by_probe(key, source, verdict):
    record(key, "probe", "ok")
    record(key, source, verdict)
    assert get_status(key) == "ok"
    assert ProbeState.objects.get().urgent


def test_report_is_warning_if_no_probe_exists(account):
    row = make_credential(account, {"properties": {"kind": "slack_key", "key": "xoxb-1"}})
    record(row, "report", "suspect")
    assert get_status(row) == "warn"


def test_no_response_for_a_minute_is_warning(key, settings):
    record(key, "probe", "ok")
    record(key, "probe", "unavailable")
    assert get_status(key) == "ok"
    settings.CLOCK_SHIFT_SECONDS = 61
    record(key, "probe", "unavailable")
    assert get_status(key) == "warn"


def test_response_resets_missing_responses(key, settings):
    record(key, "probe", "ok")
    record(key, "probe", "unavailable")
    record(key, "probe", "ok")
    settings.CLOCK_SHIFT_SECONDS = 61
    record(key, "probe", "unavailable")
    assert get_status(key) == "ok"


def test_missing_response_does_not_end_error(key):
    record(key, "probe", "rejected")
    record(key, "probe", "unavailable")
    assert get_status(key) == "error"


def test_rejected_grant_is_not_restored_by_last_token(grant):
    record(grant, "refresh", "rejected")
    for source in ("use", "probe"):
        record(grant, source, "ok")
        assert get_status(grant) == "error"
    record(grant, "refresh", "ok")
    assert get_status(grant) == "ok"


def test_missing_response_keeps_cause_of_error(grant):
    record(grant, "refresh", "rejected")
    record(grant, "probe", "unavailable")
    record(grant, "use", "ok")
    assert get_status(grant) == "error"


def test_app_error_does_not_change_credentials(grant):
    record(grant, "refresh", "ok")
    record(grant, "refresh", "app")
    assert get_status(grant) == "ok"


def test_thousand_uses_write_once(key, django_assert_max_num_queries):
    record(key, "use", "ok")
    time = Credential.objects.get(id=key.id).health["time"]
    record(key, "use", "ok")
    assert Credential.objects.get(id=key.id).health["time"] == time


def test_replaced_secret_resets_probe_state(key):
    record(key, "refresh", "rejected")
    reset_probe_states(account_id=key.account_id, ids=[key.id])
    state = ProbeState.objects.get()
    assert (state.cause, state.failures) == ("", 0)
    record(key, "probe", "ok")
    assert get_status(key) == "ok"


class TestOutage:
    """Three credentials without a response, of any accounts, are an outage."""

    @pytest.fixture
    def rows(self, key) -> list[Credential]:
        rows = [key, *(make_credential(make_account()) for _ in range(3))]
        for row in rows:
            record(row, "probe", "ok")
        return rows

    def test_outage_is_recorded_for_all_affected(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:2]:
            record(row, "probe", "unavailable")
        assert [get_status(row) for row in rows] == ["ok"] * 4
        record(rows[2], "probe", "unavailable")
        assert [get_status(row) for row in rows] == ["warn", "warn", "warn", "ok"]

    def test_note_names_provider_and_no_account(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:3]:
            record(row, "probe", "unavailable")
        notes = Credential.objects.get(id=rows[0].id).health["notes"]
        assert notes[0].startswith("Stripe does not respond for several credentials")
        event = Event.objects.get(
            target_id=rows[1].id, verb="credential.health_changed", actor="health"
        )
        assert event.account_id == rows[1].account_id

    def test_no_outage_if_most_get_responses(self, rows, account):
        for row in rows[:3]:
            record(row, "probe", "unavailable")
        for _ in range(4):
            record(make_credential(account), "probe", "ok")
        record(rows[3], "probe", "unavailable")
        assert get_status(rows[3]) == "ok"

    def test_response_ends_outage_with_note(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:3]:
            record(row, "probe", "unavailable")
        record(rows[0], "probe", "ok")
        health = Credential.objects.get(id=rows[0].id).health
        assert (health["status"], health["notes"][0]) == ("ok", "It works again.")

    def test_other_provider_is_unaffected(self, rows, account, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:2]:
            record(row, "probe", "unavailable")
        other = make_credential(account, {"properties": {"kind": "sendgrid_key", "key": "SG.1"}})
        record(other, "probe", "ok")
        record(other, "probe", "unavailable")
        assert get_status(other) == "ok"

    def test_rate_limits_are_no_outage(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows:
            record(row, "probe", "unavailable", code="rate_limited")
        assert [get_status(row) for row in rows] == ["ok"] * 4


class TestApps:
    @pytest.fixture
    def app(self, account) -> OAuthApp:
        return make_app(account)

    @staticmethod
    def record(app: OAuthApp, verdict: Any) -> Any:
        evidence = Evidence(source="refresh", verdict=verdict, note="Why.", code="code")
        with transaction.atomic():
            record_app_evidence(
                account_id=app.account_id, app_id=app.id, evidence=evidence, actor=TESTER
            )
        return OAuthApp.objects.get(id=app.id).health["status"]

    @pytest.mark.parametrize(
        ("verdict", "then"),
        [
            ("app", "error"),
            ("rejected", "error"),
            ("ok", "ok"),
            ("unavailable", "unknown"),
            ("suspect", "unknown"),
        ],
    )
    def test_evidence_sets_app_status(self, app, verdict, then):
        assert self.record(app, verdict) == then

    def test_status_change_is_recorded(self, app):
        self.record(app, "app")
        assert self.record(app, "ok") == "ok"
        changes = HealthChange.objects.filter(target_id=app.id, target_type="oauth_app")
        assert list(changes.order_by("id").values_list("after", flat=True)) == ["error", "ok"]
        assert Event.objects.filter(verb="oauth_app.health_changed").count() == 2
        assert OAuthApp.objects.get(id=app.id).revision == 1
