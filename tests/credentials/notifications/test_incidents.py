"""Incidents, and the digest of them that staff get."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail as sent_mail
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from common.db.clock import db_now
from config import env
from credentials.health.evidence import Evidence
from credentials.health.models import ProbeState
from credentials.health.services import record_app_evidence, record_evidence
from credentials.notifications import digest
from credentials.notifications.models import Incident, StaffDigest
from events.models import Event
from tests.factories import (
    TESTER,
    make_account,
    make_app,
    make_credential,
    make_endpoint,
    make_stripe_body,
)
from webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _staff(settings) -> None:
    settings.STAFF_EMAIL = ["ops@latchkey.example"]
    settings.STAFF_ALERT_ERRORS = 3


def look(settings: Any, seconds: int) -> None:
    """Let the worker look for incidents `seconds` from now."""
    settings.CLOCK_SHIFT_SECONDS = seconds
    for claim in digest.claim("me", 1):
        digest.run(claim)


def reject_app(app: Any, verdict: Any = "app") -> None:
    evidence = Evidence(source="refresh", verdict=verdict, note="Wrong secret.", code="code")
    record_app_evidence(account_id=app.account_id, app_id=app.id, evidence=evidence, actor=TESTER)


def reject_credentials(account: Any, count: int) -> None:
    for _ in range(count):
        row = make_credential(account, make_stripe_body())
        evidence = Evidence(source="probe", verdict="rejected", note="Gone.", code="http_401")
        with transaction.atomic():
            record_evidence(
                account_id=account.id, credential_id=row.id, evidence=evidence, actor=TESTER
            )


def silence_provider(account: Any, count: int) -> None:
    now = db_now()
    for _ in range(count):
        row = make_credential(account, make_stripe_body())
        ProbeState.objects.update_or_create(
            credential_id=row.id,
            defaults={
                "account_id": account.id,
                "provider": "stripe",
                "next_at": now,
                "unavailable_at": now,
            },
        )


def get_subjects() -> list[str]:
    return [str(message.subject) for message in sent_mail.outbox]


def test_rejected_app_is_an_event_a_webhook_and_a_mail(account, settings):
    make_endpoint(account)
    app = make_app(account, name="Acme\nLinear")
    reject_app(app)
    look(settings, 0)
    look(settings, 61)
    incident = Incident.objects.get()
    assert (incident.kind, incident.subject, incident.closed_at) == (
        "app_rejected",
        str(app.id),
        None,
    )
    event = Event.objects.get(verb="incident.opened")
    assert (event.account_id, event.target_id) == (account.id, incident.id)
    assert event.detail == {"kind": "app_rejected", "subject": str(app.id)}
    assert WebhookDelivery.objects.filter(type="incident.opened").count() == 1
    assert get_subjects() == ["Latchkey: 1 OAuth app rejected"]
    assert sent_mail.outbox[0].to == ["ops@latchkey.example"]
    assert "Linear rejects the OAuth app Acme Linear. Wrong secret." in sent_mail.outbox[0].body


def test_recovery_is_an_event_a_webhook_and_in_the_next_digest(account, settings):
    make_endpoint(account)
    app = make_app(account)
    reject_app(app)
    look(settings, 0)
    look(settings, 61)
    reject_app(app, "ok")
    look(settings, 100)
    assert Incident.objects.get().closed_at
    assert Event.objects.filter(verb="incident.closed").count() == 1
    assert WebhookDelivery.objects.filter(type="incident.closed").count() == 1
    assert len(sent_mail.outbox) == 1
    look(settings, 700)
    assert get_subjects()[1:] == ["Latchkey: 1 incident over"]
    look(settings, 1400)
    assert len(sent_mail.outbox) == 2


def test_one_digest_has_all_that_comes_within_ten_minutes(account, settings):
    apps = [make_app(account) for _ in range(30)]
    reject_app(apps[0])
    look(settings, 0)
    look(settings, 61)
    for number, app in enumerate(apps[1:], start=1):
        reject_app(app)
        look(settings, 61 + number * 31 // 2)
    assert len(sent_mail.outbox) == 1
    look(settings, 700)
    assert get_subjects()[1:] == ["Latchkey: 29 OAuth apps rejected"]
    body = sent_mail.outbox[1].body
    assert body.count("\n- ") == digest.MAX_LISTED + 1
    assert "- and 9 more\n" in body
    assert "Incidents that go on now: 30." in body


def test_outage_of_a_provider_is_one_incident_of_its_accounts(account, other_account, settings):
    silence_provider(account, 2)
    silence_provider(other_account, 2)
    silence_provider(make_account(), 1)
    look(settings, 0)
    look(settings, 61)
    incident = Incident.objects.get()
    assert (incident.kind, incident.subject, incident.count) == ("provider_outage", "stripe", 5)
    events = Event.objects.filter(verb="incident.opened", account=account)
    assert [event.detail for event in events] == [
        {"kind": "provider_outage", "subject": "stripe", "credentials": 2}
    ]
    assert get_subjects() == ["Latchkey: 1 provider outage"]
    look(settings, 700)
    assert Incident.objects.get().closed_at


def test_many_errors_are_one_incident(account, other_account, settings):
    reject_credentials(account, 3)
    look(settings, 0)
    assert not Incident.objects.exists()
    reject_credentials(other_account, 1)
    look(settings, 31)
    look(settings, 100)
    assert get_subjects() == ["Latchkey: many credentials failed"]
    assert (
        "4 credentials turned to error within an hour, of 2 accounts." in sent_mail.outbox[0].body
    )
    assert Event.objects.filter(verb="incident.opened").count() == 2
    look(settings, 3700)
    assert Incident.objects.get().closed_at


def test_without_an_address_nothing_is_sent_later(account, settings):
    settings.STAFF_EMAIL = []
    reject_app(make_app(account))
    look(settings, 0)
    look(settings, 61)
    settings.STAFF_EMAIL = ["ops@latchkey.example"]
    look(settings, 122)
    assert (sent_mail.outbox, Incident.objects.count()) == ([], 1)


def test_mail_server_that_is_down_is_retried_and_a_banner(
    account, settings, monkeypatch, admin_client
):
    def fail(*_: Any) -> None:
        raise ConnectionRefusedError

    reject_app(make_app(account))
    look(settings, 0)
    with monkeypatch.context() as away:
        away.setattr("django.core.mail.EmailMultiAlternatives.send", fail)
        look(settings, 61)
    row = StaffDigest.objects.get()
    assert (row.failures, row.last_error) == (1, "ConnectionRefusedError")
    page = admin_client.get("/admin/").content.decode()
    assert "The mail server has not accepted mails since" in page
    assert "(ConnectionRefusedError)" in page
    look(settings, 92)
    assert sent_mail.outbox == []
    look(settings, 130)
    assert len(sent_mail.outbox) == 1
    assert StaffDigest.objects.get().failures == 0
    assert "has not accepted mails" not in admin_client.get("/admin/").content.decode()


def test_one_worker_looks(account):
    assert len(digest.claim("me", 1)) == 1
    assert digest.claim("you", 1) == []


@pytest.mark.parametrize("value", ["", " ", ","])
def test_no_address_is_an_empty_list(monkeypatch, value):
    monkeypatch.setenv("STAFF_EMAIL", value)
    assert env.read_addresses("STAFF_EMAIL") == []


def test_addresses_are_listed_with_commas(monkeypatch):
    monkeypatch.setenv("STAFF_EMAIL", "a@b.cd, e@f.gh")
    assert env.read_addresses("STAFF_EMAIL") == ["a@b.cd", "e@f.gh"]


@pytest.mark.parametrize("value", ["ops", "a@b.cd e@f.gh", "a@b.cd\nBcc: x@y.zz"])
def test_invalid_address_is_rejected(monkeypatch, value):
    monkeypatch.setenv("STAFF_EMAIL", value)
    with pytest.raises(ImproperlyConfigured, match="STAFF_EMAIL"):
        env.read_addresses("STAFF_EMAIL")
