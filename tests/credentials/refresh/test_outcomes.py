"""What each thing that a provider can do to a refresh makes of the credential."""

from __future__ import annotations

import pytest

from common.errors import ConflictError, ServiceUnavailableError
from credentials.models import AppPause, Credential
from credentials.refresh import get_fresh_token
from events.models import Event
from oauth_apps.services import oauth_app_update
from tests.factories import TESTER, make_credential
from tests.fakes.provider import TOKEN_LOSING_MODES

pytestmark = pytest.mark.django_db


def ask(row: Credential, **more):
    return get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, **more)


def refused(row: Credential, **more) -> tuple[str, Credential]:
    """The code of the refusal, and the row after it."""
    with pytest.raises((ConflictError, ServiceUnavailableError)) as caught:
        ask(row, **more)
    return caught.value.extra["code"], Credential.objects.get(id=row.id)


def free(row: Credential) -> None:
    """Let the time of a back-off pass."""
    Credential.objects.filter(id=row.id).update(refresh_next_at=None)


def test_an_expired_token_is_refreshed(provider, grant):
    row = grant()
    fresh = ask(row)
    assert provider.grants.is_alive(fresh.access_token.expose())
    assert len(provider.calls) == 1


def test_a_fresh_token_is_handed_out_as_it_is(provider, grant):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    assert ask(row).access_token.expose() == "access-ann-2"
    assert provider.calls == []


def test_a_refreshed_token_is_stored(provider, grant):
    row = grant()
    first = ask(row)
    assert ask(row).access_token == first.access_token
    assert len(provider.calls) == 1


def test_the_outcome_is_written(provider, grant):
    row = grant()
    ask(row)
    after = Credential.objects.get(id=row.id)
    assert (after.generation, after.refresh_state, after.lease_owner) == (1, "active", "")
    assert (after.refresh_unknowns, after.refresh_failures, after.refresh_error) == (0, 0, "")
    assert after.refresh_last_at
    assert after.refresh_next_at
    assert after.expires_at
    assert after.refresh_last_at < after.refresh_next_at < after.expires_at
    assert after.properties["expires_at"] > "2026-11"
    assert Event.objects.filter(target_id=row.id, verb="credential.refreshed").count() == 1


@pytest.mark.parametrize("mode", ["no_refresh_token", "empty_refresh_token"])
def test_an_answer_without_a_refresh_token_keeps_the_old_one(provider, grant, mode):
    provider.grants.rotation = "none"
    row = grant()
    provider.mode = mode
    ask(row)
    ask(row, force=True)
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
def test_odd_answers_are_taken(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    assert provider.grants.is_alive(ask(row).access_token.expose())


@pytest.mark.parametrize("mode", ["expires_missing", "expires_null"])
def test_a_token_of_unknown_life_is_used_until_it_is_refused(provider, grant, mode):
    row = grant()
    provider.mode = mode
    assert ask(row).expires_at is None
    ask(row)
    after = Credential.objects.get(id=row.id)
    assert (len(provider.calls), after.refresh_next_at) == (1, None)


@pytest.mark.parametrize("mode", ["expires_zero", "expires_negative"])
def test_an_impossible_life_is_a_short_one(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    fresh = ask(row)
    seconds = (fresh.expires_at - Credential.objects.get(id=row.id).refresh_last_at).total_seconds()
    assert 50 < seconds <= 60
    assert ask(row).access_token == fresh.access_token


def test_a_huge_life_is_ten_years(provider, grant):
    row = grant()
    provider.modes.append("expires_huge")
    assert ask(row).expires_at.year in {2036, 2037}


@pytest.mark.parametrize("mode", ["invalid_grant", "error_200"])
def test_a_refused_grant_needs_its_user(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    code, after = refused(row)
    assert code == "needs_reauth"
    assert (after.refresh_state, after.refresh_error) == ("needs_reauth", "revoked_or_expired")
    assert after.refresh_next_at is None


def test_a_refused_grant_is_not_tried_again(provider, grant):
    row = grant()
    provider.modes.append("invalid_grant")
    refused(row)
    assert refused(row)[0] == refused(row, force=True)[0] == "needs_reauth"
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
def test_an_outage_changes_no_grant_and_is_tried_again(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    code, after = refused(row)
    assert code == "provider_unavailable"
    assert (after.refresh_state, after.refresh_failures, after.generation) == ("active", 1, 0)
    assert after.lease_until is None
    free(row)
    assert provider.grants.is_alive(ask(row).access_token.expose())


def test_while_it_backs_off_the_provider_is_left_alone(provider, grant):
    row = grant()
    provider.modes.append("429_seconds")
    refused(row)
    with pytest.raises(ServiceUnavailableError) as caught:
        ask(row)
    assert caught.value.retry_after in {28, 29, 30}
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    ("mode", "least", "most"), [("429_forever", 3590, 3601), ("429_date", 20, 31)]
)
def test_retry_after_is_honoured_up_to_an_hour(provider, grant, mode, least, most):
    row = grant()
    provider.modes.append(mode)
    with pytest.raises(ServiceUnavailableError) as caught:
        ask(row)
    assert least <= caught.value.retry_after <= most


FAST_LOSING = sorted(TOKEN_LOSING_MODES - {"hang_after", "drip"})


@pytest.mark.parametrize("mode", FAST_LOSING)
def test_a_lost_answer_of_a_strict_provider_is_reported(provider, grant, mode):
    row = grant()
    provider.modes.append(mode)
    assert refused(row)[0] == "provider_unavailable"
    free(row)
    code, after = refused(row)
    assert (code, after.refresh_error) == ("needs_reauth", "rotation_response_lost")


@pytest.mark.parametrize("mode", FAST_LOSING)
def test_a_lost_answer_within_a_grace_period_is_made_good(provider, grant, mode):
    provider.grants.grace = 30
    row = grant()
    provider.modes.append(mode)
    refused(row)
    free(row)
    assert provider.grants.is_alive(ask(row).access_token.expose())
    assert not provider.grants.reuses


def test_a_corrected_app_is_no_longer_paused(provider, grant, app):
    row = grant()
    provider.modes.append("invalid_client")
    refused(row)
    oauth_app_update(
        account_id=app.account_id, id=app.id, actor=TESTER, changes={"client_secret": "better"}
    )
    ask(row)
    assert not AppPause.objects.exists()


def test_the_older_secret_is_tried_where_the_newest_is_refused(provider, grant, app):
    row = grant()
    provider.clients[app.client_id] = "app-secret"
    oauth_app_update(
        account_id=app.account_id,
        id=app.id,
        actor=TESTER,
        changes={"client_secret": "not yet known to the provider"},
    )
    assert provider.grants.is_alive(ask(row).access_token.expose())


def test_the_token_before_is_tried_where_the_provider_honours_it(provider, grant, facts):
    provider.grants.grace = 30
    facts(grace_seconds=30)
    row = grant()
    ask(row)
    # The provider forgets the successor, as after the loss of one of its machines.
    family = provider.grants.families["ann"]
    del provider.grants.owners[family.current]
    assert provider.grants.is_alive(ask(row, force=True).access_token.expose())
    assert [call["refresh_token"] for call in provider.calls] == [
        "refresh-ann-1",
        "refresh-ann-3",
        "refresh-ann-1",
    ]


def test_a_silent_provider_is_asked_each_hour_after_four_days(provider, grant, settings):
    row = grant()
    provider.mode = "500_before"
    refused(row)
    settings.CLOCK_SHIFT_SECONDS = 4 * 24 * 3600 + 60
    _, after = refused(row)
    assert (after.refresh_state, after.refresh_error) == ("active", "server_error")
    assert after.refresh_next_at
    assert after.refresh_failing_since
    wait = (after.refresh_next_at - after.refresh_failing_since).total_seconds()
    assert 3600 <= wait - settings.CLOCK_SHIFT_SECONDS <= 3600 * 1.1 + 60
    provider.mode = "ok"
    settings.CLOCK_SHIFT_SECONDS += 4000
    ask(row)
    assert Credential.objects.get(id=row.id).refresh_failing_since is None


def test_client_credentials_get_a_token(provider, account, app):
    row = make_credential(
        account,
        {"properties": {"kind": "fake_app", "tenant": "t"}, "oauth_app_id": str(app.id)},
    )
    token = ask(row).access_token.expose()
    after = Credential.objects.get(id=row.id)
    assert (after.properties["access_token"], ask(row).access_token.expose()) == ("*" * 10, token)


def test_a_seal_that_does_not_open_is_said_and_stops_nothing(provider, grant):
    broken, whole = grant("ann"), grant("bob")
    Credential.objects.filter(id=broken.id).update(secrets=whole.secrets)
    with pytest.raises(ConflictError):
        ask(broken)
    after = Credential.objects.get(id=broken.id)
    assert (after.refresh_state, after.refresh_error) == ("paused", "undecryptable")
    assert provider.calls == []
    ask(whole)
