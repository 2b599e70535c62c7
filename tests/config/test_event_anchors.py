"""The digest over all chains is published to the log, a file and a webhook."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from standardwebhooks.webhooks import Webhook

from config import env, event_anchors
from config.event_anchors import AnchorPublisher
from egress import Request
from events import hash_chain
from events.hash_chain import write_next_checkpoint
from tests.database import OWN_TRANSACTIONS_SQL
from webhooks.delivery import DeliveryOutcome
from webhooks.payload import generate_secret

pytestmark = pytest.mark.django_db


@pytest.fixture
def _covered(account, monkeypatch) -> None:
    monkeypatch.setattr(hash_chain, "OLDEST_TRANSACTION_SQL", OWN_TRANSACTIONS_SQL)
    assert write_next_checkpoint()


@pytest.fixture
def requests(monkeypatch, settings) -> list[Request]:
    sent: list[Request] = []
    settings.EVENT_ANCHOR_URL = "https://anchors.example.org/latchkey"
    settings.EVENT_ANCHOR_SECRET = generate_secret()

    def send(request):
        sent.append(request)
        return DeliveryOutcome(200)

    monkeypatch.setattr(event_anchors, "send_webhook", send)
    return sent


@pytest.mark.usefixtures("_covered")
def test_the_command_prints_and_publishes_the_anchor(requests, settings, tmp_path, capsys):
    settings.EVENT_ANCHOR_FILE = str(tmp_path / "anchors.ndjson")
    call_command("anchor_events")
    text = capsys.readouterr().out.strip()
    call_command("verify_events", "--since-anchor", text)
    (line,) = (tmp_path / "anchors.ndjson").read_text().splitlines()
    assert json.loads(line)["data"] == {"anchor": text, "chains": 1}
    (request,) = requests
    verified = Webhook(settings.EVENT_ANCHOR_SECRET).verify(request.body, dict(request.headers))
    assert verified == json.loads(line)


@pytest.mark.usefixtures("_covered")
def test_the_command_names_what_failed(settings, tmp_path, capsys):
    settings.EVENT_ANCHOR_FILE = str(tmp_path / "missing" / "anchors")
    with pytest.raises(SystemExit):
        call_command("anchor_events")
    assert "EVENT_ANCHOR_FILE: No such file or directory." in capsys.readouterr().err


def test_without_a_checkpoint_there_is_no_anchor(db):
    with pytest.raises(CommandError, match="no checkpoint"):
        call_command("anchor_events")


@pytest.mark.usefixtures("_covered")
def test_a_worker_publishes_an_anchor_once_in_an_hour(requests):
    publisher = AnchorPublisher()
    publisher.publish_due()
    publisher.publish_due()
    assert len(requests) == 1


@pytest.mark.usefixtures("_covered")
def test_a_worker_tries_again_after_a_failure(requests, monkeypatch):
    publisher = AnchorPublisher()
    monkeypatch.setattr(event_anchors, "RETRY_INTERVAL", 0.0)
    with monkeypatch.context() as failing:
        failure = DeliveryOutcome(503, "The receiver responded with status 503.")
        failing.setattr(event_anchors, "send_webhook", lambda request: failure)
        publisher.publish_due()
    publisher.publish_due()
    assert len(requests) == 1


@pytest.mark.parametrize("secret", ["", "short", "whsec_%%%"])
def test_a_webhook_needs_a_secret(monkeypatch, secret):
    monkeypatch.setenv("EVENT_ANCHOR_URL", "https://anchors.example.org")
    monkeypatch.setenv("EVENT_ANCHOR_SECRET", secret)
    with pytest.raises(ImproperlyConfigured, match="EVENT_ANCHOR_SECRET must be"):
        env.read_webhook_secret("EVENT_ANCHOR_SECRET", required_by="EVENT_ANCHOR_URL")
