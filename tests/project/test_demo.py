"""The demo account: README's examples work on it, and its history looks real."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from accounts.models import Account
from common.actors import get_command_actor
from config.demo import RETURN_TO, import_sample_data
from config.demo_history import simulate_history
from credentials.health.models import NoticeMail
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.factories import make_account, make_credential, make_stripe_body, make_token

ACTOR = get_command_actor("demo")


@pytest.fixture
def account(db: None) -> Account:
    return make_account("Demo")


def make_credentials(account: Account, count: int) -> None:
    for number in range(count):
        body = make_stripe_body(name=f"Key {number}", owner_email="ann@example.com")
        make_credential(account, body)


def list_health(account: Account) -> list[tuple[str, bool]]:
    rows = Credential.objects.filter(account=account).order_by("id")
    return [(row.health_status, row.expires_at is None) for row in rows]


def test_the_history_has_every_status_and_expiry_times(account):
    make_credentials(account, 60)
    simulate_history(account_id=account.id, actor=ACTOR)
    rows = Credential.objects.all()
    assert {row.health_status for row in rows} == {"ok", "warn", "error", "unknown"}
    assert rows.filter(expires_at__lt=timezone.now() + dt.timedelta(days=7)).exists()
    times = list(rows.order_by("id").values_list("created_at", flat=True))
    assert times == sorted(times)
    assert times[-1] - times[0] > dt.timedelta(days=90)


def test_the_same_seed_gives_the_same_history(account):
    other = make_account("Other")
    make_credentials(account, 30)
    make_credentials(other, 30)
    for each in (account, other):
        simulate_history(account_id=each.id, actor=ACTOR)
    assert list_health(account) == list_health(other)


def test_notes_name_no_provider_and_no_mail_is_sent(account):
    make_credentials(account, 60)
    simulate_history(account_id=account.id, actor=ACTOR)
    for row in Credential.objects.exclude(health_status="unknown"):
        assert any(note.startswith("Sample data: ") for note in row.health["notes"])
        assert not any("Stripe" in note for note in row.health["notes"])
    assert not NoticeMail.objects.exists()


def test_the_connect_link_of_readme_can_be_created(account, monkeypatch):
    monkeypatch.setattr("config.demo.PER_KIND", 0)
    import_sample_data(account_id=account.id, actor=ACTOR)
    api = ApiClient(make_token(account))
    app = OAuthApp.objects.get(provider="zoom")
    link = api.post("/v1/connect-links", {"oauth_app_id": str(app.id), "return_to": RETURN_TO})
    assert link.status_code == 201
    assert api.post(f"/v1/connect-links/{link.json()['id']}/complete", {}).status_code == 409
