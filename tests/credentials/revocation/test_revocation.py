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


def test_both_tokens_are_revoked_the_refresh_token_first(deleted, gitlab):
    work()
    assert told(gitlab) == ["glrt-first", "glat-first"]


def test_what_is_revoked_is_cleared_and_on_the_record(deleted, gitlab):
    work()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert row.done_at is not None
    assert Event.objects.filter(verb="credential.revoked", target_id=deleted.id).exists()
    assert work() == 0


def test_a_token_that_is_dead_already_is_as_good(deleted, gitlab):
    gitlab.say(400, error="invalid_token")
    work()
    assert Revocation.objects.get().done_at is not None


def test_a_provider_in_trouble_is_told_later_and_ever_later(deleted, gitlab, settings):
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


def test_its_own_wish_is_respected(deleted, gitlab, settings):
    gitlab.say(429, headers=("Retry-After: 600",))
    work()
    settings.CLOCK_SHIFT_SECONDS = 500
    assert work() == 0
    settings.CLOCK_SHIFT_SECONDS = 601
    assert work() == 1


def test_after_seven_days_the_tokens_are_cleared_all_the_same(deleted, gitlab, settings):
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


def test_an_app_that_is_refused_is_tried_again(deleted, gitlab):
    gitlab.say(401, error="invalid_client")
    work()
    row = Revocation.objects.get()
    assert (row.done_at, row.attempts) == (None, 1)


def test_without_its_app_nothing_can_be_told(deleted, gitlab):
    OAuthApp.objects.all().delete()
    work()
    row = Revocation.objects.get()
    assert row.sealed is None
    assert gitlab.requests == []


def test_a_key_is_none_of_it(api, account, gitlab):
    row = make_credential(account, make_stripe_body())
    api.delete(f"/v1/credentials/{row.id}")
    work()
    assert Revocation.objects.get().done_at is not None
    assert not Event.objects.filter(verb__startswith="credential.revoked").exists()


def test_a_personal_token_is_not_sent_to_the_oauth_endpoint(api, account, gitlab):
    row = make_credential(account, {"properties": {"kind": "gitlab_key", "key": "glpat-1"}})
    api.delete(f"/v1/credentials/{row.id}")
    assert Revocation.objects.get().sealed is None
    work()
    assert gitlab.requests == []


def test_a_row_that_does_not_open_is_closed(deleted, gitlab):
    Revocation.objects.update(sealed=SealedValue(b"\x00damaged"))
    work()
    assert Revocation.objects.get().done_at is not None
    assert gitlab.requests == []


def test_one_worker_has_it_at_a_time(deleted):
    assert len(tasks.claim("me", 10)) == 1
    assert tasks.claim("you", 10) == []


def test_a_dead_workers_is_anothers_after_its_lease(deleted, gitlab, settings):
    tasks.claim("dead", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    assert work() == 1


def test_who_lost_it_writes_nothing(deleted, gitlab, settings):
    (late,) = tasks.claim("late", 10)
    settings.CLOCK_SHIFT_SECONDS = 61
    tasks.claim("me", 10)
    tasks.run(late)
    assert Revocation.objects.get().done_at is None


def test_the_worker_knows_when_it_is_due(deleted, gitlab):
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

    def test_the_access_token_is_sent(self, deleted, dropbox):
        work()
        assert self.bearers(dropbox) == ["Bearer sl.first"]
        assert Revocation.objects.get().done_at is not None

    def test_an_expired_one_is_made_new_for_it(self, deleted, dropbox):
        dropbox.say(401, 200, path="/2/auth/token/revoke")
        dropbox.say(200, path="/oauth2/token", access_token="sl.new", token_type="bearer")
        work()
        assert self.bearers(dropbox) == ["Bearer sl.first", "Bearer sl.new"]
        assert Revocation.objects.get().done_at is not None

    def test_what_was_made_new_is_kept_for_the_next_try(self, deleted, dropbox, settings):
        dropbox.say(401, 503, 200, path="/2/auth/token/revoke")
        dropbox.say(200, path="/oauth2/token", access_token="sl.new", token_type="bearer")
        work()
        settings.CLOCK_SHIFT_SECONDS = 61
        work()
        assert self.bearers(dropbox)[-1] == "Bearer sl.new"
        assert Revocation.objects.get().sealed is None

    def test_a_grant_that_has_ended_is_as_good(self, deleted, dropbox):
        dropbox.say(401, path="/2/auth/token/revoke")
        dropbox.say(400, path="/oauth2/token", error="invalid_grant")
        work()
        assert Revocation.objects.get().done_at is not None
