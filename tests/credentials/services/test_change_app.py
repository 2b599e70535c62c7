from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Account
from credentials.core.grant_state import ACTIVE, NEEDS_REAUTH, PAUSED, get_grant
from credentials.models import Credential, CredentialAlias, Grant
from credentials.services.change_app import credential_change_app
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.factories import TESTER, make_app, make_credential, make_linear_body, make_stripe_body

LATER = timezone.now() + dt.timedelta(days=1)
FAILING: dict[str, Any] = {
    "failures": 3,
    "failing_since": timezone.now(),
    "rejected_since": timezone.now(),
    "error": "invalid_client",
    "next_at": LATER,
}


def change_app(account: Account, **columns: Any) -> Credential:
    """Move a grant that has these columns to another app and read it again."""
    row = make_credential(account, make_linear_body(make_app(account)))
    Grant.objects.filter(credentials=row.id).update(**columns)
    other = make_app(account)
    assert credential_change_app(
        account_id=account.pk, id=row.pk, actor=TESTER, oauth_app_id=other.pk
    )
    return Credential.objects.get(pk=row.pk, oauth_app=other)


def test_failing_grant_is_due_now(account: Account) -> None:
    row = change_app(account, **FAILING)
    stored = get_grant(row)
    assert stored.next_at is not None
    assert stored.next_at <= timezone.now() + dt.timedelta(seconds=5)
    assert (stored.failures, stored.error) == (0, "")
    assert (stored.failing_since, stored.rejected_since) == (None, None)


def test_grant_that_works_keeps_its_schedule(account: Account) -> None:
    row = change_app(account, next_at=LATER)
    stored = get_grant(row)
    assert (stored.next_at, stored.state) == (LATER, ACTIVE)


@pytest.mark.parametrize("state", [NEEDS_REAUTH, PAUSED])
def test_grant_that_no_app_can_refresh_stays_as_it_is(account: Account, state: str) -> None:
    row = change_app(account, **FAILING, state=state)
    stored = get_grant(row)
    assert (stored.state, stored.next_at) == (state, LATER)
    assert (stored.failures, stored.error) == (3, "invalid_client")


def test_grant_without_a_refresh_token_is_not_scheduled(account: Account) -> None:
    row = change_app(account, **{**FAILING, "next_at": None})
    assert get_grant(row).next_at is None


@pytest.fixture
def former(account: Account) -> OAuthApp:
    return make_app(account)


@pytest.fixture
def other(account: Account, former: OAuthApp) -> OAuthApp:
    return make_app(account)


def post(api: ApiClient, body: dict[str, Any]) -> tuple[str, str]:
    response = api.post("/v1/credentials", body)
    assert response.status_code == 200, response.content
    return response["Latchkey-Import"], response.json()["id"]


def move(api: ApiClient, id: str, app: OAuthApp, **headers: Any) -> Any:
    return api.post(f"/v1/credentials/{id}/change-app", {"oauth_app_id": str(app.id)}, **headers)


def test_last_nights_file_finds_the_row(api: ApiClient, former: OAuthApp, other: OAuthApp) -> None:
    body = make_linear_body(former)
    _, id = post(api, body)
    assert move(api, id, other).json()["oauth_app_id"] == str(other.id)
    assert post(api, body) == ("unchanged", id)
    assert post(api, {**body, "metadata": {"a": 1}}) == ("updated", id)
    assert post(api, {**body, "oauth_app_id": str(other.id)}) == ("unchanged", id)
    row = Credential.objects.get()
    assert (row.oauth_app_id, row.metadata) == (other.id, {"a": 1})


def test_file_from_before_the_external_id_finds_the_row(
    api: ApiClient, former: OAuthApp, other: OAuthApp
) -> None:
    body = make_linear_body(former)
    _, id = post(api, body)
    post(api, {**body, "external_id": "cus_1"})
    move(api, id, other)
    assert post(api, body) == ("unchanged", id)
    assert post(api, {**body, "external_id": "cus_1"}) == ("unchanged", id)
    assert Credential.objects.get().oauth_app_id == other.id


def test_new_grant_of_the_former_app_moves_the_row_back(
    api: ApiClient, former: OAuthApp, other: OAuthApp
) -> None:
    body = make_linear_body(former)
    _, id = post(api, body)
    move(api, id, other)
    again = make_linear_body(former, properties={"refresh_token": "lin_refresh_again"})
    assert post(api, again) == ("updated", id)
    row = Credential.objects.get()
    assert (row.oauth_app_id, get_grant(row).oauth_app_id) == (former.id, former.id)
    assert post(api, {**again, "name": "Again"}) == ("updated", id)
    assert post(api, {**again, "oauth_app_id": str(other.id)}) == ("unchanged", id)


def test_row_can_move_there_and_back(api: ApiClient, former: OAuthApp, other: OAuthApp) -> None:
    body = make_linear_body(former)
    _, id = post(api, body)
    for app in (other, former, other, former):
        assert move(api, id, app).status_code == 200
    assert move(api, id, former).status_code == 200
    assert CredentialAlias.objects.count() == 1
    assert post(api, {**body, "metadata": {"a": 1}}) == ("updated", id)
    changes = Event.objects.filter(verb="credential.updated")
    assert [event.changed for event in changes].count(["oauth_app_id"]) == 4


def test_request_is_parsed_strictly(api: ApiClient, former: OAuthApp, other: OAuthApp) -> None:
    _, id = post(api, make_linear_body(former))
    path = f"/v1/credentials/{id}/change-app"
    for body in ({}, {"oauth_app_id": None}, {"oauth_app_id": "x"}, {"oauth_app_id": 7}):
        response = api.post(path, body)
        assert response.status_code == 422, body
        assert list(response.json()["validation_errors"]) == ["oauth_app_id"]
    extra: dict[str, Any] = {"oauth_app_id": str(other.id), "app": 1}
    assert list(api.post(path, extra).json()["validation_errors"]) == ["app"]
    stale = {"If-Match": '"0"'}
    assert move(api, id, other, headers=stale).status_code == 412
    assert Credential.objects.get().oauth_app_id == former.id


def test_app_of_another_provider_or_account_is_rejected(
    api: ApiClient, account: Account, other_account: Account, former: OAuthApp
) -> None:
    _, id = post(api, make_linear_body(former))
    for app in (make_app(account, "salesforce"), make_app(other_account)):
        assert move(api, id, app).status_code == 422


def test_upstream_account_that_the_other_app_has_is_named(
    api: ApiClient, former: OAuthApp, other: OAuthApp
) -> None:
    _, id = post(api, make_linear_body(former))
    _, taken = post(api, make_linear_body(other))
    response = move(api, id, other)
    assert (response.status_code, response.json()["id"]) == (409, taken)
    key = post(api, make_stripe_body())[1]
    assert move(api, key, other).status_code == 409


def test_scope_is_required(api: ApiClient, account: Account, other: OAuthApp) -> None:
    from tests.factories import make_token

    _, id = post(api, make_linear_body(other))
    reader = ApiClient(make_token(account, "credentials:read"))
    assert move(reader, id, other).status_code == 403


def test_command_moves_all_of_an_app(
    api: ApiClient, account: Account, former: OAuthApp, other: OAuthApp
) -> None:
    ids = {
        org: post(api, make_linear_body(former, properties={"linear_org_id": org}))[1]
        for org in ("org-1", "org-2")
    }
    stays = post(api, make_linear_body(former, properties={"linear_org_id": "org-3"}))[1]
    post(api, make_linear_body(other, properties={"linear_org_id": "org-3"}))
    options = {"account": account.slug, "from": str(former.id), "to": str(other.id)}
    out, errors = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("change_app", **options, stdout=out, stderr=errors)
    assert caught.value.returncode == 1
    assert out.getvalue() == "moved=2 stayed=1\n"
    assert errors.getvalue().startswith(f"{stays}: The other app")
    moved = Credential.objects.filter(id__in=ids.values()).values_list("oauth_app_id", flat=True)
    assert set(moved) == {other.id}
    api.delete(f"/v1/credentials/{stays}")
    call_command("change_app", **options, stdout=out)
    assert out.getvalue().endswith("moved=0 stayed=0\n")
    with pytest.raises(CommandError):
        call_command("change_app", **{**options, "to": "x"}, stdout=out)
