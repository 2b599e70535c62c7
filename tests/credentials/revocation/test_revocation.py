"""Revocation of deleted credentials at their providers."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from credentials.models import Credential, Revocation
from credentials.revocation import tasks
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.credentials.health.conftest import make_gitlab_body
from tests.factories import make_app, make_credential, make_stripe_body
from vault.sealing import SealedValue

pytestmark = pytest.mark.django_db
DAY = 86400


@pytest.fixture
def deleted_credential(api, account) -> Credential:
    row = make_credential(account, make_gitlab_body(account))
    assert api.delete(f"/v1/credentials/{row.id}").status_code == 204
    return row


def run_task() -> int:
    claims = tasks.claim("me", 10)
    for claim in claims:
        tasks.run(claim)
    return len(claims)


def list_revoked_tokens(gitlab) -> list[str]:
    assert {request.target for request in gitlab.requests} <= {"/oauth/revoke"}
    return [parse_qs(request.body.decode())["token"][0] for request in gitlab.requests]


def test_refresh_token_is_revoked_first(deleted_credential, gitlab):
    run_task()
    assert list_revoked_tokens(gitlab) == ["glrt-first", "glat-first"]


def test_revoked_tokens_are_cleared_and_recorded(deleted_credential, gitlab):
    run_task()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert row.done_at is not None
    assert Event.objects.filter(verb="credential.revoked", target_id=deleted_credential.id).exists()
    assert run_task() == 0


def test_invalid_token_counts_as_revoked(deleted_credential, gitlab):
    gitlab.say(400, error="invalid_token")
    run_task()
    assert Revocation.objects.get().done_at is not None


def test_unavailable_provider_is_retried_with_backoff(deleted_credential, gitlab, settings):
    gitlab.say(503)
    assert run_task() == 1
    assert run_task() == 0
    settings.CLOCK_SHIFT_SECONDS = 61
    assert run_task() == 1
    settings.CLOCK_SHIFT_SECONDS = 61 + 61
    assert run_task() == 0
    settings.CLOCK_SHIFT_SECONDS = 61 + 121
    gitlab.say(200)
    assert run_task() == 1
    assert Revocation.objects.get().sealed is None


def test_retry_after_is_applied(deleted_credential, gitlab, settings):
    gitlab.say(429, headers=("Retry-After: 600",))
    run_task()
    settings.CLOCK_SHIFT_SECONDS = 500
    assert run_task() == 0
    settings.CLOCK_SHIFT_SECONDS = 601
    assert run_task() == 1


def test_tokens_are_cleared_after_seven_days(deleted_credential, gitlab, settings):
    gitlab.say(503)
    settings.CLOCK_SHIFT_SECONDS = 6 * DAY + 23 * 3600
    run_task()
    assert Revocation.objects.get().sealed is not None
    settings.CLOCK_SHIFT_SECONDS = 7 * DAY + 60
    run_task()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert row.last_error
    assert Event.objects.filter(verb="credential.revocation_failed").exists()


def test_rejected_app_is_retried(deleted_credential, gitlab):
    gitlab.say(401, error="invalid_client")
    run_task()
    row = Revocation.objects.get()
    assert (row.done_at, row.attempts) == (None, 1)


def test_deleted_app_ends_revocation(deleted_credential, gitlab):
    OAuthApp.objects.all().delete()
    run_task()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert gitlab.requests == []


def test_key_is_not_revoked(api, account, gitlab):
    row = make_credential(account, make_stripe_body())
    api.delete(f"/v1/credentials/{row.id}")
    run_task()
    assert Revocation.objects.get().done_at is not None
    assert not Event.objects.filter(verb__startswith="credential.revoked").exists()


def test_personal_token_is_not_sent_to_revocation_endpoint(api, account, gitlab):
    row = make_credential(account, {"properties": {"kind": "gitlab_key", "key": "glpat-1"}})
    api.delete(f"/v1/credentials/{row.id}")
    assert Revocation.objects.get().sealed is None
    run_task()
    assert gitlab.requests == []


def test_unreadable_tokens_end_revocation(deleted_credential, gitlab):
    Revocation.objects.update(sealed=SealedValue(b"\x00damaged"))
    run_task()
    assert Revocation.objects.get().done_at is not None
    assert gitlab.requests == []


def test_revocation_is_claimed_once(deleted_credential):
    assert len(tasks.claim("me", 10)) == 1
    assert tasks.claim("you", 10) == []


def test_expired_lease_is_claimed_again(deleted_credential, gitlab, settings):
    tasks.claim("dead", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    assert run_task() == 1


def test_lost_lease_writes_nothing(deleted_credential, gitlab, settings):
    (late,) = tasks.claim("late", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    tasks.claim("me", 10)
    tasks.run(late)
    assert Revocation.objects.get().done_at is None


def test_next_due(deleted_credential, gitlab):
    assert tasks.next_due() is not None
    run_task()
    assert tasks.next_due() is None


class TestRevocationByBearer:
    """Dropbox, where the access token authorizes its own revocation and may have expired."""

    @pytest.fixture
    def deleted_credential(self, api, account) -> Credential:
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
    def list_authorizations(dropbox) -> list[str]:
        calls = [r for r in dropbox.requests if r.target == "/2/auth/token/revoke"]
        return [request.headers["authorization"] for request in calls]

    def test_access_token_is_revoked(self, deleted_credential, dropbox):
        run_task()
        assert self.list_authorizations(dropbox) == ["Bearer sl.first"]
        assert Revocation.objects.get().done_at is not None

    def test_expired_access_token_is_refreshed_first(self, deleted_credential, dropbox):
        dropbox.say(401, 200, path="/2/auth/token/revoke")
        dropbox.say(200, path="/oauth2/token", access_token="sl.new", token_type="bearer")
        run_task()
        assert self.list_authorizations(dropbox) == ["Bearer sl.first", "Bearer sl.new"]
        assert Revocation.objects.get().done_at is not None

    def test_refreshed_token_is_stored_for_next_try(self, deleted_credential, dropbox, settings):
        dropbox.say(401, 503, 200, path="/2/auth/token/revoke")
        dropbox.say(200, path="/oauth2/token", access_token="sl.new", token_type="bearer")
        run_task()
        settings.CLOCK_SHIFT_SECONDS = 61
        run_task()
        assert self.list_authorizations(dropbox)[-1] == "Bearer sl.new"
        assert Revocation.objects.get().sealed is None

    def test_ended_grant_counts_as_revoked(self, deleted_credential, dropbox):
        dropbox.say(401, path="/2/auth/token/revoke")
        dropbox.say(400, path="/oauth2/token", error="invalid_grant")
        run_task()
        assert Revocation.objects.get().done_at is not None
