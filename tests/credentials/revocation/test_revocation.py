"""What providers are told of deleted credentials."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from credentials.models import Credential, Revocation
from credentials.revocation import tasks
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.credentials.health.conftest import gitlab_body
from tests.factories import make_app, make_credential, make_stripe_body
from vault.sealing import SealedValue

pytestmark = pytest.mark.django_db
DAY = 86400


@pytest.fixture
def deleted(api, account) -> Credential:
    row = make_credential(account, gitlab_body(account))
    assert api.delete(f"/v1/credentials/{row.id}").status_code == 204
    return row


def work() -> int:
    claims = tasks.claim("me", 10)
    for claim in claims:
        tasks.run(claim)
    return len(claims)


def told(gitlab) -> list[str]:
    assert {request.target for request in gitlab.requests} <= {"/oauth/revoke"}
    return [parse_qs(request.body.decode())["token"][0] for request in gitlab.requests]


def test_refresh_token_is_revoked_first(deleted, gitlab):
    work()
    assert told(gitlab) == ["glrt-first", "glat-first"]


def test_revoked_tokens_are_cleared_and_recorded(deleted, gitlab):
    work()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert row.done_at is not None
    assert Event.objects.filter(verb="credential.revoked", target_id=deleted.id).exists()
    assert work() == 0


def test_invalid_token_counts_as_revoked(deleted, gitlab):
    gitlab.say(400, error="invalid_token")
    work()
    assert Revocation.objects.get().done_at is not None


def test_unavailable_provider_is_retried_with_backoff(deleted, gitlab, settings):
    gitlab.say(503)
    assert work() == 1
    assert work() == 0
    settings.CLOCK_SHIFT_SECONDS = 61
    assert work() == 1
    settings.CLOCK_SHIFT_SECONDS = 61 + 61
    assert work() == 0
    settings.CLOCK_SHIFT_SECONDS = 61 + 121
    gitlab.say(200)
    assert work() == 1
    assert Revocation.objects.get().sealed is None


def test_retry_after_is_applied(deleted, gitlab, settings):
    gitlab.say(429, headers=("Retry-After: 600",))
    work()
    settings.CLOCK_SHIFT_SECONDS = 500
    assert work() == 0
    settings.CLOCK_SHIFT_SECONDS = 601
    assert work() == 1


def test_tokens_are_cleared_after_seven_days(deleted, gitlab, settings):
    gitlab.say(503)
    settings.CLOCK_SHIFT_SECONDS = 6 * DAY + 23 * 3600
    work()
    assert Revocation.objects.get().sealed is not None
    settings.CLOCK_SHIFT_SECONDS = 7 * DAY + 60
    work()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert row.last_error
    assert Event.objects.filter(verb="credential.revocation_failed").exists()


def test_rejected_app_is_retried(deleted, gitlab):
    gitlab.say(401, error="invalid_client")
    work()
    row = Revocation.objects.get()
    assert (row.done_at, row.attempts) == (None, 1)


def test_deleted_app_ends_revocation(deleted, gitlab):
    OAuthApp.objects.all().delete()
    work()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert gitlab.requests == []


def test_key_is_not_revoked(api, account, gitlab):
    row = make_credential(account, make_stripe_body())
    api.delete(f"/v1/credentials/{row.id}")
    work()
    assert Revocation.objects.get().done_at is not None
    assert not Event.objects.filter(verb__startswith="credential.revoked").exists()


def test_personal_token_is_not_sent_to_revocation_endpoint(api, account, gitlab):
    row = make_credential(account, {"properties": {"kind": "gitlab_key", "key": "glpat-1"}})
    api.delete(f"/v1/credentials/{row.id}")
    assert Revocation.objects.get().sealed is None
    work()
    assert gitlab.requests == []


def test_unreadable_tokens_end_revocation(deleted, gitlab):
    Revocation.objects.update(sealed=SealedValue(b"\x00damaged"))
    work()
    assert Revocation.objects.get().done_at is not None
    assert gitlab.requests == []


def test_revocation_is_claimed_once(deleted):
    assert len(tasks.claim("me", 10)) == 1
    assert tasks.claim("you", 10) == []


def test_expired_lease_is_claimed_again(deleted, gitlab, settings):
    tasks.claim("dead", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    assert work() == 1


def test_lost_lease_writes_nothing(deleted, gitlab, settings):
    (late,) = tasks.claim("late", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    tasks.claim("me", 10)
    tasks.run(late)
    assert Revocation.objects.get().done_at is None


def test_next_due(deleted, gitlab):
    assert tasks.next_due() is not None
    work()
    assert tasks.next_due() is None


class TestByItself:
    """Dropbox: the access token authorizes its own end, and may have expired by then."""

    @pytest.fixture
    def deleted(self, api, account) -> Credential:
        properties = {
            "kind": "dropbox_oauth2",
            "account_id": "dbid:AAA",
            "access_token": "sl.first",
            "refresh_token": "dbx-refresh",
        }
        app = make_app(account, "dropbox")
        row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
        api.delete(f"/v1/credentials/{row.id}")
        return row

    @staticmethod
    def bearers(dropbox) -> list[str]:
        ended = [r for r in dropbox.requests if r.target == "/2/auth/token/revoke"]
        return [request.headers["authorization"] for request in ended]

    def test_access_token_is_revoked(self, deleted, dropbox):
        work()
        assert self.bearers(dropbox) == ["Bearer sl.first"]
        assert Revocation.objects.get().done_at is not None

    def test_expired_access_token_is_refreshed_first(self, deleted, dropbox):
        dropbox.say(401, 200, path="/2/auth/token/revoke")
        dropbox.say(200, path="/oauth2/token", access_token="sl.new", token_type="bearer")
        work()
        assert self.bearers(dropbox) == ["Bearer sl.first", "Bearer sl.new"]
        assert Revocation.objects.get().done_at is not None

    def test_refreshed_token_is_stored_for_next_try(self, deleted, dropbox, settings):
        dropbox.say(401, 503, 200, path="/2/auth/token/revoke")
        dropbox.say(200, path="/oauth2/token", access_token="sl.new", token_type="bearer")
        work()
        settings.CLOCK_SHIFT_SECONDS = 61
        work()
        assert self.bearers(dropbox)[-1] == "Bearer sl.new"
        assert Revocation.objects.get().sealed is None

    def test_ended_grant_counts_as_revoked(self, deleted, dropbox):
        dropbox.say(401, path="/2/auth/token/revoke")
        dropbox.say(400, path="/oauth2/token", error="invalid_grant")
        work()
        assert Revocation.objects.get().done_at is not None
