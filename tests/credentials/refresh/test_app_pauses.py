"""One grant's rejection is evidence about that grant until an independent one says the same."""

from __future__ import annotations

import datetime as dt

import pytest

from common.errors import ConflictError, ServiceUnavailableError
from credentials.core.grant_state import get_grant
from credentials.models import AppPause, Credential, Grant
from credentials.refresh import get_fresh_token
from credentials.refresh.tasks import RefreshTask
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.factories import TESTER

pytestmark = pytest.mark.django_db

HOUR = 3600
DAY = 24 * HOUR
ATLASSIAN = {"error": "unauthorized_client", "error_description": "this grant"}


def refresh(row: Credential) -> str:
    """Request a token. Return "ok" or the error's code."""
    try:
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, force=True)
    except (ConflictError, ServiceUnavailableError) as error:
        return str(error.extra["code"])
    return "ok"


def run_worker(rounds: int = 1) -> None:
    task = RefreshTask()
    for _ in range(rounds):
        for claim in task.claim("worker", 50):
            task.run(claim)


def get_row(row: Credential) -> Credential:
    return Credential.objects.get(id=row.id)


def make_due(*rows: Credential) -> None:
    now = dt.datetime.now(dt.UTC) - dt.timedelta(days=3650)
    Grant.objects.filter(credentials__in=rows).update(next_at=now)


def end_pause() -> None:
    AppPause.objects.update(until="2020-01-01T00:00:00Z")


def test_one_grants_rejection_does_not_pause_the_app(provider, grant):
    dead, alive = grant("dead"), grant("alive")
    provider.reject_user("dead", 403, ATLASSIAN)
    assert refresh(dead) == "provider_unavailable"
    assert refresh(alive) == "ok"


def test_another_grant_is_refreshed_at_once_to_tell_who_is_at_fault(provider, grant):
    dead, alive = grant("dead"), grant("alive")
    Grant.objects.filter(credentials=alive.id).update(next_at="2099-01-01T00:00:00Z")
    provider.reject_user("dead", 403, ATLASSIAN)
    refresh(dead)
    run_worker()
    assert get_grant(get_row(alive)).last_at
    assert not AppPause.objects.exists()


def test_healthy_grants_are_not_refreshed_again_for_one_that_stays_dead(provider, grant):
    dead, alive = grant("dead"), grant("alive")
    provider.reject_user("dead", 403, ATLASSIAN)
    refresh(dead)
    run_worker()
    calls = len(provider.calls)
    for _ in range(5):
        assert refresh(dead) == "provider_unavailable"
        run_worker()
    assert len(provider.calls) == calls + 5
    assert get_grant(get_row(alive)).state == "active"


def test_thirty_grants_are_refreshed_beside_a_dead_one_through_six_pauses(provider, grant):
    dead = grant("dead")
    rows = [grant(f"user-{number}") for number in range(30)]
    provider.reject_user("dead", 403, ATLASSIAN)
    for _ in range(6):
        make_due(dead, *rows)
        run_worker(rounds=3)
        end_pause()
    refreshed = Grant.objects.filter(last_at__isnull=False)
    assert refreshed.count() == 30
    assert get_grant(get_row(dead)).error == "unauthorized_client"
    assert get_row(dead).health["notes"]


@pytest.mark.parametrize("mode", ["invalid_client", "unauthorized_client"])
def test_two_grants_pause_the_app_and_are_not_blamed(provider, grant, app, mode):
    row, other, third = grant("ann"), grant("bob"), grant("cleo")
    provider.mode = mode
    assert refresh(row) == "provider_unavailable"
    assert refresh(other) == "app_paused"
    health = OAuthApp.objects.get(id=app.id).health
    assert health["status"] == "error"
    assert str(row.id) in health["notes"][0]
    event = Event.objects.get(verb="oauth_app.paused")
    assert event.target_id == app.id
    assert event.detail == {
        "code": mode,
        "rejected_first": str(row.id),
        "rejected_again": str(other.id),
        "seconds": 60,
    }
    for each in (row, other, third):
        assert get_grant(get_row(each)).state == "active"
        assert get_grant(get_row(each)).rejected_since is None
        assert get_row(each).health["status"] != "error"


def test_the_wait_for_a_paused_app_is_the_rest_of_its_pause(provider, grant):
    row, other, third = grant("ann"), grant("bob"), grant("cleo")
    provider.mode = "invalid_client"
    refresh(row)
    refresh(other)
    with pytest.raises(ServiceUnavailableError) as caught:
        get_fresh_token(account_id=third.account_id, id=third.id, actor=TESTER)
    assert caught.value.extra["code"] == "app_paused"
    assert 30 <= (caught.value.retry_after or 0) <= 60


def test_each_pause_is_twice_as_long(provider, grant):
    rows = [grant(f"user-{number}") for number in range(6)]
    provider.mode = "invalid_client"
    refresh(rows[0])
    lengths = []
    for row in rows[1:5]:
        refresh(row)
        pause = AppPause.objects.get()
        lengths.append(round((pause.until - dt.datetime.now(dt.UTC)).total_seconds() / 60))
        end_pause()
    assert lengths == [1, 2, 4, 8]


def test_after_a_pause_another_row_goes_first(provider, grant):
    row, other, third = grant("ann"), grant("bob"), grant("cleo")
    make_due(third)
    provider.mode = "invalid_client"
    refresh(row)
    refresh(other)
    pause = AppPause.objects.get()
    first_at = get_grant(get_row(third)).next_at
    assert first_at
    assert first_at < pause.until
    for each in (row, other):
        next_at = get_grant(get_row(each)).next_at
        assert next_at
        assert next_at > pause.until


def test_a_refresh_ends_the_pause_and_heals_the_app(provider, grant, app):
    row, other, third = grant("ann"), grant("bob"), grant("cleo")
    provider.mode = "invalid_client"
    refresh(row)
    refresh(other)
    end_pause()
    provider.mode = "ok"
    assert refresh(third) == "ok"
    assert not AppPause.objects.exists()
    assert OAuthApp.objects.get(id=app.id).health["status"] == "ok"


def test_grants_that_caused_a_pause_are_tried_as_soon_as_the_app_works(provider, grant, settings):
    row, other, third = grant("ann"), grant("bob"), grant("cleo")
    provider.mode = "invalid_client"
    refresh(row)
    refresh(other)
    # Their next attempts are after the pause.
    settings.CLOCK_SHIFT_SECONDS = 61
    provider.mode = "ok"
    assert refresh(third) == "ok"
    run_worker()
    for each in (row, other):
        assert get_grant(get_row(each)).generation == 1


def test_a_grant_that_was_rejected_alone_is_no_second_witness(provider, grant):
    dead, alive, other = grant("dead"), grant("alive"), grant("other")
    provider.reject_user("dead", 403, ATLASSIAN)
    refresh(dead)
    refresh(alive)
    provider.reject_user("other", 403, ATLASSIAN)
    refresh(other)
    assert refresh(dead) == "provider_unavailable"


@pytest.mark.parametrize(
    ("canary", "code"),
    [
        ((401, {"error": "invalid_client"}), "app_paused"),
        ((400, {"error": "invalid_grant"}), "provider_unavailable"),
    ],
)
def test_a_lone_grant_is_checked_with_a_token_of_no_user(provider, grant, canary, code):
    row = grant("ann")
    provider.reject_user("ann", 401, {"error": "invalid_client"})
    provider.unknown_token_response = canary
    refresh(row)
    assert refresh(row) == code


def test_rejections_without_a_known_reason_end_after_72_hours(provider, grant, settings):
    dead, alive = grant("dead"), grant("alive")
    provider.reject_user("dead", 400, {"message": "Bad Request"})
    assert refresh(dead) == "provider_unavailable"
    settings.CLOCK_SHIFT_SECONDS = 71 * HOUR
    refresh(alive)
    assert refresh(dead) == "provider_unavailable"
    settings.CLOCK_SHIFT_SECONDS = 73 * HOUR
    refresh(dead)
    assert refresh(dead) == "needs_reauth"
    row = get_row(dead)
    stored = get_grant(row)
    assert (stored.state, stored.error) == ("needs_reauth", "refresh_exhausted")
    assert row.health["status"] == "error"
    assert "may be revoked" in row.health["notes"][0]
    assert Event.objects.filter(target_id=row.id, verb="credential.needs_reauth").count() == 1


def test_a_grant_that_was_given_up_is_tried_once_a_day_and_heals(provider, grant, settings):
    dead, alive = grant("dead"), grant("alive")
    provider.reject_user("dead", 400, {"message": "Bad Request"})
    refresh(dead)
    settings.CLOCK_SHIFT_SECONDS = 73 * HOUR
    refresh(alive)
    refresh(dead)
    provider.rejected_users.clear()
    calls = len(provider.calls)
    settings.CLOCK_SHIFT_SECONDS += 23 * HOUR
    run_worker()
    assert "refresh-dead-1" not in [call["refresh_token"] for call in provider.calls[calls:]]
    settings.CLOCK_SHIFT_SECONDS += 2 * HOUR
    run_worker()
    row = get_row(dead)
    assert (get_grant(row).state, row.health["status"]) == ("active", "ok")


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (500, {"error": "server_error"}),
        (503, {}),
        (429, {}),
        (408, {"message": "timeout"}),
        (400, {"error": "temporarily_unavailable"}),
    ],
)
def test_what_is_no_rejection_never_ends_a_grant(provider, grant, settings, status, document):
    row, alive = grant("ann"), grant("alive")
    provider.reject_user("ann", status, document)
    refresh(row)
    for days in (4, 8, 30):
        settings.CLOCK_SHIFT_SECONDS = days * DAY
        refresh(alive)
        assert refresh(row) == "provider_unavailable"
    assert get_grant(get_row(row)).state == "active"


def test_a_lone_grant_without_a_known_reason_is_never_given_up(provider, grant, settings):
    row = grant("ann")
    provider.reject_user("ann", 400, {"message": "Bad Request"})
    refresh(row)
    settings.CLOCK_SHIFT_SECONDS = 30 * DAY
    assert refresh(row) == "provider_unavailable"
    assert get_row(row).health["status"] == "warn"


def test_seven_days_are_enough_if_another_grant_of_the_app_lives(provider, grant, settings):
    row, _ = grant("ann"), grant("bob", expires_at="2099-01-01T00:00:00Z")
    provider.reject_user("ann", 400, {"message": "Bad Request"})
    refresh(row)
    settings.CLOCK_SHIFT_SECONDS = 4 * DAY
    assert refresh(row) == "provider_unavailable"
    settings.CLOCK_SHIFT_SECONDS = 7 * DAY + HOUR
    refresh(row)
    assert refresh(row) == "needs_reauth"
