"""One message to the owner for each time that a credential stops working."""

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


def see(row: Credential, verdict: Any = "rejected", source: Any = "probe", note: str = "Gone."):
    evidence = Evidence(source=source, verdict=verdict, note=note, code="code")
    with transaction.atomic():
        record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )


def work() -> int:
    claims = mail.claim("me", 10)
    for claim in claims:
        mail.run(claim)
    return len(claims)


def message() -> Any:
    (one,) = sent_mail.outbox
    return one


def notes(row: Credential) -> Any:
    return Credential.objects.get(id=row.id).health["notes"]


class Refusing:
    """A mail server that takes nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *args, **kwargs):
        raise self.error


def test_the_owner_is_told_once(key):
    see(key)
    see(key)
    work()
    work()
    assert message().to == ["ann@acme.example"]
    assert message().subject == "Choam Stripe has stopped working"


def test_the_message_says_what_happened_and_what_to_do(key):
    see(key, note="Stripe rejected it (HTTP 401).")
    work()
    ((html, kind),) = message().alternatives
    assert kind == "text/html"
    for text in (message().body, html):
        assert "Stripe rejected it (HTTP 401)." in text
        assert "Connect Stripe again with Acme" in text or "connect Stripe again with Acme" in text
    assert "sk_live" not in message().body + html


def test_the_message_has_a_link_where_there_is_one(key, monkeypatch):
    link = "https://keys.example/connect/1?a=1&b=2"
    monkeypatch.setattr(mail, "build_reconnect_url", lambda row: link)
    see(key)
    work()
    assert link in message().body
    assert 'href="https://keys.example/connect/1?a=1&amp;b=2"' in message().alternatives[0][0]


def test_a_grant_is_connected_again_by_a_link_where_links_complete_themselves(account, grant):
    settings_update(
        account_id=account.id,
        app=grant.oauth_app,
        actor=TESTER,
        changes={"completes_itself": True},
    )
    see(grant)
    work()
    link = ConnectLink.objects.get()
    assert (link.reconnects, link.account_id) == (grant.id, account.id)
    assert "Connect it again here: http://testserver/" in message().body


def test_else_there_is_no_link(grant):
    see(grant)
    work()
    assert not ConnectLink.objects.exists()
    assert "http" not in message().body


def test_it_is_recorded_in_the_notes(key):
    see(key)
    work()
    assert notes(key) == ["ann@acme.example was notified by e-mail.", "Gone."]


def test_to_and_fro_within_an_hour_is_one_message(key, settings):
    for _ in range(3):
        see(key)
        work()
        see(key, "ok")
    assert len(sent_mail.outbox) == 1
    settings.CLOCK_SHIFT_SECONDS = 3601
    see(key)
    work()
    assert len(sent_mail.outbox) == 2


def test_what_works_again_by_then_is_not_written_about(key):
    see(key)
    see(key, "ok")
    work()
    assert sent_mail.outbox == []
    assert NoticeMail.objects.get().outcome == "dropped"


def test_who_has_no_owner_is_nobodys(account):
    see(make_credential(account))
    assert not NoticeMail.objects.exists()


def test_a_warning_is_no_reason_to_write(key):
    see(key, "unavailable")
    assert not NoticeMail.objects.exists()


def test_no_customer_is_written_to_for_a_lost_key_of_ours(key):
    see(key, source="seal")
    assert not NoticeMail.objects.exists()


def test_a_server_that_sends_no_mail_says_so(key, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    see(key)
    assert not NoticeMail.objects.exists()
    assert "not configured to send mail" in notes(key)[0]


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), smtplib.SMTPServerDisconnected(), TimeoutError()]
)
def test_a_mail_server_that_is_away_is_tried_again(key, monkeypatch, settings, error):
    see(key)
    with monkeypatch.context() as away:
        away.setattr("django.core.mail.EmailMultiAlternatives.send", Refusing(error))
        work()
    assert work() == 0
    settings.CLOCK_SHIFT_SECONDS = 61
    work()
    assert len(sent_mail.outbox) == 1


def test_an_address_that_is_refused_for_good_is_not_tried_again(key, monkeypatch):
    see(key)
    error = smtplib.SMTPRecipientsRefused({"ann@acme.example": (550, b"no such user")})
    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", Refusing(error))
    work()
    assert NoticeMail.objects.get().outcome == "failed"
    assert notes(key)[0] == "ann@acme.example could not be notified by e-mail."


def test_after_two_days_it_is_given_up(key, monkeypatch, settings):
    see(key)
    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", Refusing(OSError()))
    settings.CLOCK_SHIFT_SECONDS = 2 * 86400 + 60
    work()
    assert NoticeMail.objects.get().outcome == "failed"


def test_a_message_is_claimed_by_one(key):
    see(key)
    assert len(mail.claim("me", 10)) == 1
    assert mail.claim("you", 10) == []


def test_a_dead_workers_message_is_sent_by_another(key, settings):
    see(key)
    mail.claim("dead", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    assert work() == 1
    assert len(sent_mail.outbox) == 1


def test_who_lost_the_claim_sends_nothing(key, settings):
    see(key)
    (late,) = mail.claim("late", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    work()
    mail.run(late)
    assert len(sent_mail.outbox) == 1


def test_a_repeated_message_has_the_same_id(key):
    see(key)
    work()
    id = NoticeMail.objects.get().id
    assert message().extra_headers["Message-ID"] == f"<{id}@testserver>"


def test_a_name_cannot_add_a_header(account):
    row = make_credential(account, make_stripe_body(owner_email="ann@acme.example"))
    Credential.objects.filter(id=row.id).update(name="x\r\nBcc: eve@evil.example")
    see(row)
    work()
    assert "\nBcc" not in message().message().as_string()


def test_a_name_is_no_html(account):
    row = make_credential(account, make_stripe_body(name="<b>x", owner_email="ann@acme.example"))
    see(row)
    work()
    html = message().alternatives[0][0]
    assert "&lt;b&gt;x" in html
    assert "<b>" not in html


def test_the_worker_knows_when_it_is_due(key):
    assert mail.next_due() is None
    see(key)
    assert mail.next_due() is not None
    work()
    assert mail.next_due() is None
