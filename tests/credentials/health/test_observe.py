"""What evidence makes of a credential and of an OAuth app, and what it leaves behind."""

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


def see(row: Credential, source: Any, verdict: Any, code: str = "code") -> bool:
    evidence = Evidence(source=source, verdict=verdict, note=f"{source} {verdict}.", code=code)
    with transaction.atomic():
        return record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )


def status(row: Credential) -> Any:
    return Credential.objects.get(id=row.id).health_status


def test_a_change_is_told_of(key):
    assert see(key, "probe", "ok")
    assert status(key) == "ok"
    change = HealthChange.objects.get(target_id=key.id)
    assert (change.before, change.after, change.source) == ("unknown", "ok", "probe")
    event = Event.objects.get(target_id=key.id, verb="credential.health_changed")
    assert event.actor == "tester"


def test_more_of_the_same_changes_nothing(key):
    see(key, "probe", "ok")
    assert not see(key, "probe", "ok")
    assert HealthChange.objects.count() == 1


def test_the_revision_stays(key):
    see(key, "probe", "rejected")
    assert Credential.objects.get(id=key.id).revision == 1


def test_a_webhook_is_told(key, monkeypatch):
    calls = []
    monkeypatch.setattr("webhooks.changes.enqueue", lambda *args: calls.append(args))
    see(key, "probe", "ok")
    see(key, "probe", "ok")
    assert calls == [(key.account_id, [("credential.health_changed", key.id)])]


def test_nothing_happens_to_what_is_gone(key):
    Credential.objects.filter(id=key.id).delete()
    assert not see(key, "probe", "ok")


@pytest.mark.parametrize("source", ["refresh", "probe", "seal", "expiry"])
def test_what_is_definite_is_an_error_at_once(key, source):
    see(key, source, "rejected")
    assert status(key) == "error"


@pytest.mark.parametrize("source", ["report", "use"])
@pytest.mark.parametrize("verdict", ["rejected", "suspect"])
def test_what_a_caller_met_is_for_a_probe_to_decide(key, source, verdict):
    see(key, "probe", "ok")
    see(key, source, verdict)
    assert status(key) == "ok"
    assert ProbeState.objects.get().urgent


def test_where_nobody_can_be_asked_a_report_is_a_warning(account):
    row = make_credential(account, {"properties": {"kind": "slack_key", "key": "xoxb-1"}})
    see(row, "report", "suspect")
    assert status(row) == "warn"


def test_silence_for_a_minute_is_a_warning(key, settings):
    see(key, "probe", "ok")
    see(key, "probe", "unavailable")
    assert status(key) == "ok"
    settings.CLOCK_SHIFT_SECONDS = 61
    see(key, "probe", "unavailable")
    assert status(key) == "warn"


def test_silences_with_an_answer_between_are_none(key, settings):
    see(key, "probe", "ok")
    see(key, "probe", "unavailable")
    see(key, "probe", "ok")
    settings.CLOCK_SHIFT_SECONDS = 61
    see(key, "probe", "unavailable")
    assert status(key) == "ok"


def test_no_silence_makes_an_error_well(key):
    see(key, "probe", "rejected")
    see(key, "probe", "unavailable")
    assert status(key) == "error"


def test_a_grant_that_was_refused_is_not_healed_by_its_last_token(grant):
    see(grant, "refresh", "rejected")
    for source in ("use", "probe"):
        see(grant, source, "ok")
        assert status(grant) == "error"
    see(grant, "refresh", "ok")
    assert status(grant) == "ok"


def test_a_silence_does_not_hide_what_an_error_rests_on(grant):
    see(grant, "refresh", "rejected")
    see(grant, "probe", "unavailable")
    see(grant, "use", "ok")
    assert status(grant) == "error"


def test_an_app_at_fault_leaves_its_credentials_alone(grant):
    see(grant, "refresh", "ok")
    see(grant, "refresh", "app")
    assert status(grant) == "ok"


def test_a_thousand_uses_write_once(key, django_assert_max_num_queries):
    see(key, "use", "ok")
    time = Credential.objects.get(id=key.id).health["time"]
    see(key, "use", "ok")
    assert Credential.objects.get(id=key.id).health["time"] == time


def test_another_secret_voids_what_was_known(key):
    see(key, "refresh", "rejected")
    reset_probe_states(account_id=key.account_id, ids=[key.id])
    state = ProbeState.objects.get()
    assert (state.cause, state.failures) == ("", 0)
    see(key, "probe", "ok")
    assert status(key) == "ok"


class TestOutage:
    """Three credentials without an answer, of whatever account, are their provider's trouble."""

    @pytest.fixture
    def rows(self, key) -> list[Credential]:
        rows = [key, *(make_credential(make_account()) for _ in range(3))]
        for row in rows:
            see(row, "probe", "ok")
        return rows

    def test_is_recognised_and_told_of_all_who_met_it(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:2]:
            see(row, "probe", "unavailable")
        assert [status(row) for row in rows] == ["ok"] * 4
        see(rows[2], "probe", "unavailable")
        assert [status(row) for row in rows] == ["warn", "warn", "warn", "ok"]

    def test_says_whose_trouble_it_is_and_names_nobody(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:3]:
            see(row, "probe", "unavailable")
        notes = Credential.objects.get(id=rows[0].id).health["notes"]
        assert notes[0].startswith("Stripe does not respond for several credentials")
        event = Event.objects.get(
            target_id=rows[1].id, verb="credential.health_changed", actor="health"
        )
        assert event.account_id == rows[1].account_id

    def test_is_none_where_most_are_answered(self, rows, account):
        for row in rows[:3]:
            see(row, "probe", "unavailable")
        for _ in range(4):
            see(make_credential(account), "probe", "ok")
        see(rows[3], "probe", "unavailable")
        assert status(rows[3]) == "ok"

    def test_ends_with_an_answer_and_a_note(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:3]:
            see(row, "probe", "unavailable")
        see(rows[0], "probe", "ok")
        health = Credential.objects.get(id=rows[0].id).health
        assert (health["status"], health["notes"][0]) == ("ok", "It works again.")

    def test_of_another_provider_is_nobodys_here(self, rows, account, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows[:2]:
            see(row, "probe", "unavailable")
        other = make_credential(account, {"properties": {"kind": "sendgrid_key", "key": "SG.1"}})
        see(other, "probe", "ok")
        see(other, "probe", "unavailable")
        assert status(other) == "ok"

    def test_too_many_requests_are_none(self, rows, settings):
        settings.CLOCK_SHIFT_SECONDS = 11 * 60
        for row in rows:
            see(row, "probe", "unavailable", code="rate_limited")
        assert [status(row) for row in rows] == ["ok"] * 4


class TestApps:
    @pytest.fixture
    def app(self, account) -> OAuthApp:
        return make_app(account)

    @staticmethod
    def see(app: OAuthApp, verdict: Any) -> Any:
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
    def test_evidence_makes_of_an_app(self, app, verdict, then):
        assert self.see(app, verdict) == then

    def test_a_change_is_told_of(self, app):
        self.see(app, "app")
        assert self.see(app, "ok") == "ok"
        changes = HealthChange.objects.filter(target_id=app.id, target_type="oauth_app")
        assert list(changes.order_by("id").values_list("after", flat=True)) == ["error", "ok"]
        assert Event.objects.filter(verb="oauth_app.health_changed").count() == 2
        assert OAuthApp.objects.get(id=app.id).revision == 1
