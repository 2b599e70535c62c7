"""The mail to the owner of a credential that stops working."""

from __future__ import annotations

import smtplib
from typing import Any

import pytest
from django.core import mail as sent_mail
from django.db import transaction

from credentials.connect.models import ConnectLink
from credentials.connect.services import settings_update
from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.health.services import record_evidence
from credentials.models import Credential
from credentials.notifications import mail
from tests.factories import TESTER, make_credential, make_stripe_body

pytestmark = pytest.mark.django_db


def record(row: Credential, verdict: Any = "rejected", source: Any = "probe", note: str = "Gone."):
    evidence = Evidence(source=source, verdict=verdict, note=note, code="code")
    with transaction.atomic():
        record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )


def run_worker() -> int:
    claims = mail.claim("me", 10)
    for claim in claims:
        mail.run(claim)
    return len(claims)


def get_message() -> Any:
    (one,) = sent_mail.outbox
    return one


def get_notes(row: Credential) -> Any:
    return Credential.objects.get(id=row.id).health["notes"]


class Refusing:
    """A mail server that rejects everything."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *args, **kwargs):
        raise self.error


def test_owner_is_notified_once(key):
    record(key)
    record(key)
    run_worker()
    run_worker()
    assert get_message().to == ["ann@acme.example"]
    assert get_message().subject == "Choam Stripe has stopped working"


def test_message_says_what_happened_and_what_to_do(key):
    record(key, note="Stripe rejected it (HTTP 401).")
    run_worker()
    ((html, kind),) = get_message().alternatives
    assert kind == "text/html"
    for text in (get_message().body, html):
        assert "Stripe rejected it (HTTP 401)." in text
        assert "Connect Stripe again with Acme" in text or "connect Stripe again with Acme" in text
    assert "sk_live" not in get_message().body + html


def test_message_contains_link(key, monkeypatch):
    link = "https://keys.example/connect/1?a=1&b=2"
    monkeypatch.setattr(mail, "build_reconnect_url", lambda row: link)
    record(key)
    run_worker()
    assert link in get_message().body
    assert 'href="https://keys.example/connect/1?a=1&amp;b=2"' in get_message().alternatives[0][0]


def test_link_is_created_if_links_complete_themselves(account, grant):
    settings_update(
        account_id=account.id,
        app=grant.oauth_app,
        actor=TESTER,
        changes={"completes_itself": True},
    )
    record(grant)
    run_worker()
    link = ConnectLink.objects.get()
    assert (link.reconnects, link.account_id) == (grant.id, account.id)
    assert "Connect it again here: http://testserver/" in get_message().body


def test_no_link_is_created_otherwise(grant):
    record(grant)
    run_worker()
    assert not ConnectLink.objects.exists()
    assert "http" not in get_message().body


def test_sent_mail_is_noted(key):
    record(key)
    run_worker()
    assert get_notes(key) == ["Gone.", "ann@acme.example was notified by e-mail."]


def test_flapping_within_an_hour_sends_one_message(key, settings):
    for _ in range(3):
        record(key)
        run_worker()
        record(key, "ok")
    assert len(sent_mail.outbox) == 1
    settings.CLOCK_SHIFT_SECONDS = 3601
    record(key)
    run_worker()
    assert len(sent_mail.outbox) == 2


def test_a_second_death_within_the_hour_is_mailed_later(key, settings):
    record(key)
    run_worker()
    record(key, "ok")
    record(key)
    assert "the owner is notified again" in get_notes(key)[-1]
    run_worker()
    assert len(sent_mail.outbox) == 1
    settings.CLOCK_SHIFT_SECONDS = 3601
    run_worker()
    assert len(sent_mail.outbox) == 2
    assert get_notes(key)[-1] == "ann@acme.example was notified by e-mail."


def test_a_second_death_that_recovers_is_not_mailed(key, settings):
    record(key)
    run_worker()
    record(key, "ok")
    record(key)
    record(key, "ok")
    settings.CLOCK_SHIFT_SECONDS = 3601
    run_worker()
    assert len(sent_mail.outbox) == 1


def test_recovered_credential_sends_no_mail(key):
    record(key)
    record(key, "ok")
    run_worker()
    assert sent_mail.outbox == []
    assert NoticeMail.objects.get().outcome == "dropped"


def test_credential_without_owner_sends_no_mail(account):
    record(make_credential(account))
    assert not NoticeMail.objects.exists()


def test_warning_sends_no_mail(key):
    record(key, "unavailable")
    assert not NoticeMail.objects.exists()


def test_lost_server_key_sends_no_mail(key):
    record(key, source="seal")
    assert not NoticeMail.objects.exists()


def test_missing_mail_server_is_noted(key, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    record(key)
    assert not NoticeMail.objects.exists()
    assert "not configured to send mail" in get_notes(key)[-1]


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), smtplib.SMTPServerDisconnected(), TimeoutError()]
)
def test_unavailable_mail_server_is_retried(key, monkeypatch, settings, error):
    record(key)
    with monkeypatch.context() as away:
        away.setattr("django.core.mail.EmailMultiAlternatives.send", Refusing(error))
        run_worker()
    assert run_worker() == 0
    settings.CLOCK_SHIFT_SECONDS = 61
    run_worker()
    assert len(sent_mail.outbox) == 1


def test_permanently_rejected_address_is_not_retried(key, monkeypatch):
    record(key)
    error = smtplib.SMTPRecipientsRefused({"ann@acme.example": (550, b"no such user")})
    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", Refusing(error))
    run_worker()
    assert NoticeMail.objects.get().outcome == "failed"
    assert get_notes(key)[-1] == "ann@acme.example could not be notified by e-mail."


def test_mail_fails_after_two_days(key, monkeypatch, settings):
    record(key)
    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", Refusing(OSError()))
    settings.CLOCK_SHIFT_SECONDS = 2 * 86400 + 60
    run_worker()
    assert NoticeMail.objects.get().outcome == "failed"


def test_message_is_claimed_once(key):
    record(key)
    assert len(mail.claim("me", 10)) == 1
    assert mail.claim("you", 10) == []


def test_message_of_dead_worker_is_sent_by_another(key, settings):
    record(key)
    mail.claim("dead", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    assert run_worker() == 1
    assert len(sent_mail.outbox) == 1


def test_lost_lease_sends_nothing(key, settings):
    record(key)
    (late,) = mail.claim("late", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    run_worker()
    mail.run(late)
    assert len(sent_mail.outbox) == 1


def test_repeated_message_has_same_id(key):
    record(key)
    run_worker()
    id = NoticeMail.objects.get().id
    assert get_message().extra_headers["Message-ID"] == f"<{id}@testserver>"


def test_name_cannot_add_header(account):
    row = make_credential(account, make_stripe_body(owner_email="ann@acme.example"))
    Credential.objects.filter(id=row.id).update(name="x\r\nBcc: eve@evil.example")
    record(row)
    run_worker()
    assert "\nBcc" not in get_message().message().as_string()


def test_name_is_escaped_in_html(account):
    row = make_credential(account, make_stripe_body(name="<b>x", owner_email="ann@acme.example"))
    record(row)
    run_worker()
    html = get_message().alternatives[0][0]
    assert "&lt;b&gt;x" in html
    assert "<b>" not in html


def test_next_due_is_the_next_message(key):
    assert mail.next_due() is None
    record(key)
    assert mail.next_due() is not None
    run_worker()
    assert mail.next_due() is None
