"""The state of a credential after each kind of response to a refresh."""

from __future__ import annotations

import datetime as dt

import pytest

from common.db.clock import db_now
from common.errors import ConflictError, ServiceUnavailableError
from credentials.core.grant_state import get_grant
from credentials.models import AppPause, Credential, Grant
from credentials.refresh import get_fresh_token
from events.models import Event
from oauth_apps.services import oauth_app_update
from tests.factories import TESTER, make_credential
from tests.fakes.provider import TOKEN_LOSING_MODES

pytestmark = pytest.mark.django_db


def request_token(row: Credential, **more):
    return get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, **more)


def request_rejected_token(row: Credential, **more) -> tuple[str, Credential]:
    """Request a token that is rejected. Return the error code, and the row after it."""
    with pytest.raises((ConflictError, ServiceUnavailableError)) as caught:
        request_token(row, **more)
    return caught.value.extra["code"], Credential.objects.get(id=row.id)


def end_back_off(row: Credential) -> None:
    """End the back-off of the row."""
    Grant.objects.filter(credentials=row.id).update(next_at=None)


def test_expired_token_is_refreshed(provider, grant):
    row = grant()
    fresh = request_token(row)
    assert provider.grants.is_alive(fresh.access_token.expose())
    assert len(provider.calls) == 1


def test_fresh_token_is_returned_unchanged(provider, grant):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    assert request_token(row).access_token.expose() == "access-ann-2"
    assert provider.calls == []


def test_refreshed_token_is_stored(provider, grant):
    row = grant()
    first = request_token(row)
    assert request_token(row).access_token == first.access_token
    assert len(provider.calls) == 1


def test_outcome_is_stored(provider, grant):
    row = grant()
    request_token(row)
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert (stored.generation, stored.state, stored.lease_owner) == (
        1,
        "active",
        "",
    )
    assert (stored.unknowns, stored.failures, stored.error) == (
        0,
        0,
        "",
    )
    assert stored.last_at
    assert stored.next_at
    assert after.expires_at
    assert stored.last_at < stored.next_at < after.expires_at
    assert after.properties["expires_at"] > "2026-11"
    assert Event.objects.filter(target_id=row.id, verb="credential.refreshed").count() == 1


@pytest.mark.parametrize("mode", ["no_refresh_token", "empty_refresh_token"])
def test_response_without_refresh_token_keeps_old_one(provider, grant, mode):
    provider.grants.rotation = "none"
    row = grant()
    provider.mode = mode
    request_token(row)
    request_token(row, force=True)
    assert [call["refresh_token"] for call in provider.calls] == ["refresh-ann-1"] * 2


@pytest.mark.parametrize(
    "mode",
    [
        "narrower_scope",
        "wider_scope",
        "expires_string",
        "token_type_mac",
        "duplicate_keys",
        "byte_order_mark",
    ],
)
def test_unusual_responses_are_accepted(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    assert provider.grants.is_alive(request_token(row).access_token.expose())


@pytest.mark.parametrize("mode", ["expires_missing", "expires_null"])
def test_token_of_unknown_lifetime_is_used_until_rejected(provider, grant, mode):
    row = grant()
    provider.mode = mode
    assert request_token(row).expires_at is None
    request_token(row)
    after = Credential.objects.get(id=row.id)
    assert (len(provider.calls), get_grant(after).next_at) == (1, None)


@pytest.mark.parametrize("mode", ["expires_zero", "expires_negative"])
def test_impossible_lifetime_counts_as_short(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    fresh = request_token(row)
    seconds = (
        fresh.expires_at - get_grant(Credential.objects.get(id=row.id)).last_at
    ).total_seconds()
    assert 50 < seconds <= 60
    assert request_token(row).access_token == fresh.access_token


def test_huge_lifetime_counts_as_ten_years(provider, grant):
    row = grant()
    provider.modes.append("expires_huge")
    left = request_token(row).expires_at - db_now()
    assert round(left / dt.timedelta(days=365)) == 10


@pytest.mark.parametrize("mode", ["invalid_grant", "error_200"])
def test_rejected_grant_needs_reauth(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    code, after = request_rejected_token(row)
    assert code == "needs_reauth"
    stored = get_grant(after)
    assert (stored.state, stored.error) == (
        "needs_reauth",
        "revoked_or_expired",
    )
    assert stored.next_at is None


def test_rejected_grant_is_not_retried(provider, grant):
    row = grant()
    provider.modes.append("invalid_grant")
    request_rejected_token(row)
    assert (
        request_rejected_token(row)[0]
        == request_rejected_token(row, force=True)[0]
        == "needs_reauth"
    )
    assert len(provider.calls) == 1
    assert Event.objects.filter(verb="credential.needs_reauth").count() == 1


TRANSIENT = [
    "500_before",
    "503_before",
    "429_seconds",
    "429_date",
    "reset_before",
    "redirect",
    "unknown_error",
]


@pytest.mark.parametrize("mode", TRANSIENT)
def test_outage_keeps_grant_and_is_retried(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    code, after = request_rejected_token(row)
    assert code == "provider_unavailable"
    stored = get_grant(after)
    assert (stored.state, stored.failures, stored.generation) == (
        "active",
        1,
        0,
    )
    assert stored.lease_until is None
    end_back_off(row)
    assert provider.grants.is_alive(request_token(row).access_token.expose())


def test_back_off_sends_no_request(provider, grant):
    row = grant()
    provider.modes.append("429_seconds")
    request_rejected_token(row)
    with pytest.raises(ServiceUnavailableError) as caught:
        request_token(row)
    assert caught.value.retry_after in {28, 29, 30}
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    ("mode", "least", "most"), [("429_forever", 3590, 3601), ("429_date", 20, 31)]
)
def test_retry_after_is_respected_up_to_an_hour(provider, grant, mode, least, most):
    row = grant()
    provider.modes.append(mode)
    with pytest.raises(ServiceUnavailableError) as caught:
        request_token(row)
    assert least <= caught.value.retry_after <= most


FAST_LOSING = sorted(TOKEN_LOSING_MODES - {"hang_after", "drip"})


@pytest.mark.parametrize("mode", FAST_LOSING)
def test_lost_response_of_strict_provider_is_reported(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    assert request_rejected_token(row)[0] == "provider_unavailable"
    end_back_off(row)
    code, after = request_rejected_token(row)
    assert (code, get_grant(after).error) == ("needs_reauth", "rotation_response_lost")


@pytest.mark.parametrize("mode", FAST_LOSING)
def test_lost_response_within_grace_period_is_recovered(provider, grant, mode):
    provider.grants.grace = 30
    row = grant()
    provider.modes.append(mode)
    request_rejected_token(row)
    end_back_off(row)
    assert provider.grants.is_alive(request_token(row).access_token.expose())
    assert not provider.grants.reuses


def test_corrected_app_is_no_longer_paused(provider, grant, app):
    row = grant()
    provider.modes.append("invalid_client")
    request_rejected_token(row)
    oauth_app_update(
        account_id=app.account_id, id=app.id, actor=TESTER, changes={"client_secret": "better"}
    )
    request_token(row)
    assert not AppPause.objects.exists()


def test_older_client_secret_is_tried_after_newest_is_rejected(provider, grant, app):
    row = grant()
    provider.clients[app.client_id] = "app-secret"
    oauth_app_update(
        account_id=app.account_id,
        id=app.id,
        actor=TESTER,
        changes={"client_secret": "not yet known to the provider"},
    )
    assert provider.grants.is_alive(request_token(row).access_token.expose())


def test_previous_grant_is_tried_within_grace_period(provider, grant, facts):
    provider.grants.grace = 30
    facts(grace_seconds=30)
    row = grant()
    request_token(row)
    # The provider forgets the successor, as after the loss of one of its machines.
    family = provider.grants.families["ann"]
    del provider.grants.owners[family.current]
    assert provider.grants.is_alive(request_token(row, force=True).access_token.expose())
    assert [call["refresh_token"] for call in provider.calls] == [
        "refresh-ann-1",
        "refresh-ann-3",
        "refresh-ann-1",
    ]


def test_unresponsive_provider_is_retried_hourly_after_four_days(provider, grant, settings):
    row = grant()
    provider.mode = "500_before"
    request_rejected_token(row)
    settings.CLOCK_SHIFT_SECONDS = 4 * 24 * 3600 + 60
    _, after = request_rejected_token(row)
    stored = get_grant(after)
    assert (stored.state, stored.error) == ("active", "server_error")
    assert stored.next_at
    assert stored.failing_since
    wait = (stored.next_at - stored.failing_since).total_seconds()
    assert 3600 <= wait - settings.CLOCK_SHIFT_SECONDS <= 3600 * 1.1 + 60
    provider.mode = "ok"
    settings.CLOCK_SHIFT_SECONDS += 4000
    request_token(row)
    assert get_grant(Credential.objects.get(id=row.id)).failing_since is None


def test_client_credentials_get_token(provider, account, app):
    row = make_credential(
        account,
        {"properties": {"kind": "fake_app", "tenant": "t"}, "oauth_app_id": str(app.id)},
    )
    token = request_token(row).access_token.expose()
    after = Credential.objects.get(id=row.id)
    assert (after.properties["access_token"], request_token(row).access_token.expose()) == (
        "*" * 10,
        token,
    )


def test_undecryptable_secret_is_reported_and_blocks_nothing(provider, grant):
    broken, whole = grant("ann"), grant("bob")
    Credential.objects.filter(id=broken.id).update(secrets=whole.secrets)
    with pytest.raises(ConflictError):
        request_token(broken)
    after = Credential.objects.get(id=broken.id)
    stored = get_grant(after)
    assert (stored.state, stored.error) == ("paused", "undecryptable")
    assert provider.calls == []
    request_token(whole)


def test_a_token_of_thirty_seconds_is_used_for_half_of_them(provider, grant, settings):
    provider.lifetime = 30
    row = grant()
    request_token(row)
    request_token(row)
    assert len(provider.calls) == 1
    settings.CLOCK_SHIFT_SECONDS = 16
    request_token(row)
    assert len(provider.calls) == 2


@pytest.mark.parametrize(("grace_seconds", "least", "most"), [(30, 8, 28), (None, 60, 100)])
def test_an_unknown_outcome_is_retried_before_a_stated_grace_ends(
    provider, grant, facts, grace_seconds, least, most
):
    facts(grace_seconds=grace_seconds)
    row = grant()
    # Six failures before: the back-off alone would be 64 s and more.
    Grant.objects.filter(credentials=row.id).update(failures=6)
    provider.modes.append("500_after")
    _, after = request_rejected_token(row)
    stored = get_grant(after)
    assert stored.next_at
    assert stored.failing_since
    assert least <= (stored.next_at - stored.failing_since).total_seconds() <= most
