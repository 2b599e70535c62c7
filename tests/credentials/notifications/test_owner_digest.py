"""One mail an hour for each owner, which lists every credential that has stopped working."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core import mail as sent_mail
from django.db import transaction

from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.health.services import record_evidence
from credentials.models import Credential
from credentials.notifications import mail
from events.models import Event
from tests.factories import TESTER, make_credential, make_stripe_body

pytestmark = pytest.mark.django_db

OWNER = "ann@acme.example"


def make_keys(account: Any, count: int, owner: str = OWNER) -> list[Credential]:
    bodies = [make_stripe_body(name=f"Key {n}", owner_email=owner) for n in range(count)]
    return [make_credential(account, body) for body in bodies]


def record(row: Credential, verdict: Any = "rejected") -> None:
    evidence = Evidence(source="probe", verdict=verdict, note=f"{row.name} is gone.", code="code")
    with transaction.atomic():
        record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )


def run_worker() -> None:
    for claim in mail.claim("me", 10):
        mail.run(claim)


def get_notes(row: Credential) -> list[str]:
    notes: list[str] = Credential.objects.get(id=row.id).health["notes"]
    return notes


def test_one_mail_lists_all_that_broke_together(account):
    rows = make_keys(account, 5)
    for row in rows:
        record(row)
    run_worker()
    run_worker()
    message: Any = sent_mail.outbox[0]
    assert len(sent_mail.outbox) == 1
    assert message.subject == "5 credentials have stopped working"
    for row in rows:
        for text in (message.body, message.alternatives[0][0]):
            assert text.count(f"{row.name} is gone.") == 1
        assert get_notes(row)[-1] == f"{OWNER} was notified by e-mail."
    assert set(NoticeMail.objects.values_list("outcome", flat=True)) == {"sent"}


def test_mails_of_two_owners_and_accounts_stay_apart(account, other_account):
    for row in (*make_keys(account, 2), *make_keys(account, 1, "bob@acme.example")):
        record(row)
    record(make_keys(other_account, 1)[0])
    run_worker()
    assert sorted((message.to[0], message.subject) for message in sent_mail.outbox) == [
        (OWNER, "2 credentials have stopped working"),
        (OWNER, "Key 0 has stopped working"),
        ("bob@acme.example", "Key 0 has stopped working"),
    ]


def test_those_that_break_within_the_hour_are_in_the_next_mail(account, settings):
    first, *others = make_keys(account, 4)
    record(first)
    run_worker()
    for row in others:
        record(row)
        run_worker()
    assert len(sent_mail.outbox) == 1
    record(others[0], "ok")
    settings.CLOCK_SHIFT_SECONDS = 3605
    run_worker()
    assert [message.subject for message in sent_mail.outbox[1:]] == [
        "2 credentials have stopped working"
    ]
    assert "Key 0" not in sent_mail.outbox[1].body
    assert NoticeMail.objects.filter(attempts__gt=1).count() == 0


def test_first_mail_waits_for_others(account, settings, monkeypatch):
    monkeypatch.setattr(mail, "GATHER", dt.timedelta(seconds=30))
    row = make_keys(account, 1)[0]
    record(row)
    assert mail.claim("me", 10) == []
    next_at = mail.next_due()
    settings.CLOCK_SHIFT_SECONDS = 31
    assert next_at is not None
    assert len(mail.claim("me", 10)) == 1


def test_another_process_sends_the_mails_of_one_owner(account):
    first, second = make_keys(account, 2)
    record(first)
    (theirs,) = mail.claim("other", 10)
    record(second)
    run_worker()
    assert sent_mail.outbox == []
    mail.run(theirs)
    assert len(sent_mail.outbox) == 1
    assert NoticeMail.objects.filter(outcome="sent").count() == 2


def test_a_large_number_is_split(account, monkeypatch):
    monkeypatch.setattr(mail, "MAX_LISTED", 3)
    for row in make_keys(account, 5):
        record(row)
    run_worker()
    run_worker()
    assert [message.subject for message in sent_mail.outbox] == [
        "3 credentials have stopped working"
    ]
    assert NoticeMail.objects.filter(outcome="").count() == 2


def test_mail_trouble_is_an_event(account, monkeypatch):
    rows = make_keys(account, 2)
    for row in rows:
        record(row)

    def fail(*_: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", fail)
    run_worker()
    events: list[Any] = list(Event.objects.filter(verb="credential.notification_failed"))
    assert {event.target_id for event in events} == {row.id for row in rows}
    assert {event.detail["error"] for event in events} == {"ConnectionRefusedError"}
    assert not any("notified by e-mail" in note for row in rows for note in get_notes(row))
