"""A dry run is no way to test a guessed password."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from accounts.models import Account
from credentials.imports.admin_services import import_draft_create
from credentials.models import Credential
from credentials.services.custom_providers import custom_provider_create
from events.models import Event
from tests.api import ApiClient
from tests.factories import TESTER, make_credential, make_token

PATH = "/v1/credentials/import?dry_run=true"
PASSWORD = "hunter2-of-2019"
GUESSES = [PASSWORD, "hunter3-of-2019"]


def build_password(password: str, instance: str = "acmeco", **more: Any) -> dict[str, Any]:
    return {
        "properties": {
            "kind": "servicenow_password",
            "instance": instance,
            "username": "svc",
            "password": password,
        },
        **more,
    }


def build_key(key: str, **more: Any) -> dict[str, Any]:
    return {"properties": {"kind": "custom_key", "provider": "custom.erp", "key": key}, **more}


@pytest.fixture
def writer(account: Account) -> ApiClient:
    return ApiClient(make_token(account, "credentials:write"))


def count_results(report: dict[str, Any]) -> dict[str, int]:
    return {name: report[name] for name in ("created", "updated", "unchanged", "rejected")}


@pytest.mark.parametrize("atomic", ["", "&atomic=true"])
@pytest.mark.parametrize("more", [{}, {"metadata": {"plan": "pro"}}])
def test_right_and_wrong_passwords_have_one_report(
    account: Account, writer: ApiClient, more: dict[str, Any], atomic: str
) -> None:
    make_credential(account, build_password(PASSWORD))
    reports = [writer.post(PATH + atomic, [build_password(g, **more)]).json() for g in GUESSES]
    assert reports[0] == reports[1]
    assert count_results(reports[0]) == {"created": 0, "updated": 1, "unchanged": 0, "rejected": 0}
    assert Credential.objects.get().metadata == {}


def test_right_and_wrong_keys_of_a_custom_service_have_one_report(
    account: Account, writer: ApiClient
) -> None:
    custom_provider_create(
        account_id=account.id, actor=TESTER, name="erp", base_url="https://erp.example.com"
    )
    make_credential(account, build_key(PASSWORD))
    reports = [writer.post(PATH, [build_key(g, name="other")]).json() for g in GUESSES]
    assert reports[0] == reports[1]
    assert reports[0]["created"] == 1


def test_a_stored_default_password_has_the_report_of_any_default_password(
    account: Account, writer: ApiClient
) -> None:
    for stored, instance in (("changeme", "acmeco"), (PASSWORD, "otherco")):
        make_credential(account, build_password(stored, instance))
    guesses = [build_password("changeme", instance) for instance in ("acmeco", "otherco")]
    report = writer.post(PATH, guesses).json()
    assert [error["line"] for error in report["errors"]] == [1, 2]


def test_guesses_are_recorded_with_the_token_and_their_number(
    account: Account, writer: ApiClient
) -> None:
    make_credential(account, build_password(PASSWORD))
    writer.post(f"{PATH}&atomic=true", [build_password(PASSWORD), {"properties": {}}])
    event = Event.objects.get(verb="account.secrets_compared")
    assert (event.detail, event.account_id) == ({"lines": 1}, account.id)
    assert event.actor.startswith("token:")


def test_a_dry_run_without_a_stored_password_is_not_recorded(
    account: Account, writer: ApiClient
) -> None:
    assert writer.post(PATH, [build_password(PASSWORD)]).json()["created"] == 1
    assert not Event.objects.filter(verb="account.secrets_compared").exists()


def test_the_preview_of_the_admin_has_one_report_too(account: Account) -> None:
    make_credential(account, build_password(PASSWORD))
    reports = [
        import_draft_create(
            account_id=account.id,
            actor=TESTER,
            filename="guesses",
            format="ndjson",
            content=orjson.dumps(build_password(guess)),
        ).report
        for guess in GUESSES
    ]
    assert reports[0] == reports[1]
    assert reports[0]["updated"] == 1
