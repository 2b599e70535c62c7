"""EMAIL_URL, and mail to a test server."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from config import env
from credentials.health.evidence import Evidence
from credentials.health.models import NoticeMail
from credentials.health.services import record_app_evidence, record_evidence
from credentials.notifications import digest, mail
from tests.factories import TESTER, make_app


class MailServer(socketserver.ThreadingTCPServer):
    """A server with the commands of RFC 5321 that are needed; `refuses` is the reply to RCPT."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.messages: list[bytes] = []
        self.refuses = ""


class _Talk(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 here")
        while line := self.rfile.readline():
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self.say("354 go on")
                self.server.messages.append(self.message())
            if verb == b"RCPT" and self.server.refuses:
                self.say(self.server.refuses)
                continue
            self.say("221 bye" if verb == b"QUIT" else "250 ok")

    def message(self) -> bytes:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(line.removeprefix(b".") for line in lines)

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.server_address[1]
        settings.EMAIL_TIMEOUT = 2
        yield server
        server.shutdown()


def record_rejection(row: Any) -> None:
    evidence = Evidence(source="probe", verdict="rejected", note="Ü gone.", code="http_401")
    with transaction.atomic():
        record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=TESTER
        )
    (claim,) = mail.claim("me", 10)
    mail.run(claim)


@pytest.mark.django_db
def test_mail_has_plain_text_and_html(key, server):
    record_rejection(key)
    (raw,) = server.messages
    message: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["To"] == "ann@acme.example"
    assert message["Auto-Submitted"] == "auto-generated"
    for kind in ("plain", "html"):
        assert "Ü gone." in message.get_body((kind,)).get_content()
    assert NoticeMail.objects.get().outcome == "sent"


@pytest.mark.django_db
@pytest.mark.parametrize(("answer", "outcome"), [("550 no", "failed"), ("450 later", "")])
def test_permanent_rejection_is_final(key, server, answer, outcome):
    server.refuses = answer
    record_rejection(key)
    assert NoticeMail.objects.get().outcome == outcome
    assert server.messages == []


def read_settings(monkeypatch: Any, url: str) -> dict[str, Any]:
    monkeypatch.setenv("EMAIL_URL", url)
    return env.read_email_url("EMAIL_URL")


def test_missing_url_disables_mail(monkeypatch):
    assert read_settings(monkeypatch, "")["EMAIL_BACKEND"].endswith(".dummy.EmailBackend")


def test_url_configures_server(monkeypatch):
    found = read_settings(
        monkeypatch, "submission://u:p%40@mail.example:587/?_default_from_email=a@b.cd"
    )
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example", 587)
    assert (found["EMAIL_HOST_PASSWORD"], found["EMAIL_USE_TLS"]) == ("p@", True)
    assert found["DEFAULT_FROM_EMAIL"] == "a@b.cd"


@pytest.mark.parametrize("url", ["nosuch://u:canary@h", "submission://", "smtp://u:canary@h:x/"])
def test_invalid_url_is_rejected_without_repeating_it(monkeypatch, url):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as refusal:
        read_settings(monkeypatch, url)
    assert "canary" not in str(refusal.value)


@pytest.mark.django_db
def test_staff_get_a_digest_from_a_real_server(account, server, settings):
    settings.STAFF_EMAIL = ["ops@latchkey.example", "night@latchkey.example"]
    app = make_app(account, name="Ünïcode")
    evidence = Evidence(source="refresh", verdict="app", note="Wrong secret.", code="code")
    record_app_evidence(account_id=account.id, app_id=app.id, evidence=evidence, actor=TESTER)
    for seconds in (0, 61):
        settings.CLOCK_SHIFT_SECONDS = seconds
        for claim in digest.claim("me", 1):
            digest.run(claim)
    (raw,) = server.messages
    message: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["To"] == "ops@latchkey.example, night@latchkey.example"
    assert message["Subject"] == "Latchkey: 1 OAuth app rejected"
    for kind in ("plain", "html"):
        assert "Linear rejects the OAuth app Ünïcode." in message.get_body((kind,)).get_content()


@pytest.mark.django_db
def test_mail_server_that_rejects_the_digest_is_asked_again(account, server, settings):
    settings.STAFF_EMAIL = ["ops@latchkey.example"]
    server.refuses = "450 later"
    app = make_app(account)
    evidence = Evidence(source="refresh", verdict="app", note="Wrong secret.", code="code")
    record_app_evidence(account_id=account.id, app_id=app.id, evidence=evidence, actor=TESTER)
    for seconds in (0, 61, 95, 130):
        settings.CLOCK_SHIFT_SECONDS = seconds
        for claim in digest.claim("me", 1):
            digest.run(claim)
        server.refuses = "" if seconds == 95 else server.refuses
    assert len(server.messages) == 1
