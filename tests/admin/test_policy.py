"""What a credential may be used for, as staff read and edit it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Account
from credentials.models import Credential
from credentials.proxy.policy import MAX_PATHS, NO_POLICY, policy_read, policy_set
from events.models import Event
from providers.registry import get_registry
from tests.admin.pages import address, text
from tests.factories import TESTER, make_credential

WHOLE = {
    "methods": ["GET", "HEAD"],
    "paths": ["/v1/charges", "/v1/charges/*"],
    "rate_limit": {"requests": 100, "seconds": 60},
    "concurrency": 10,
}


@pytest.fixture
def row(account: Account) -> Credential:
    return make_credential(account)


@pytest.fixture
def operator(staff_client: Any) -> Client:
    client: Client = staff_client("Operator")
    return client


def page(row: Credential) -> str:
    return f"/admin/credentials/credential/{row.pk}/policy/"


def get_policy(row: Credential) -> dict[str, Any]:
    return policy_read(account_id=row.account_id, id=row.pk)


def set_policy(row: Credential, **policy: Any) -> None:
    policy_set(account_id=row.account_id, id=row.pk, actor=TESTER, policy=policy)


def save(browser: Client, row: Credential, **typed: Any) -> Any:
    """Open the page, type over what is there, and send it."""
    form = browser.get(page(row)).context["form"]
    values = {field.html_name: field.field.prepare_value(field.value()) for field in form}
    stored = {name: value for name, value in values.items() if value not in (None, False)}
    return browser.post(page(row), {**stored, **typed}, follow=True)


def list_changes(row: Credential) -> list[Any]:
    rows = Event.objects.filter(target_id=row.pk, verb="credential.policy_updated")
    return list(rows.order_by("id").values_list("actor", "changed"))


def test_operator_saves_a_policy(operator: Client, row: Credential) -> None:
    typed = {
        "methods": "GET\n HEAD \n\n",
        "paths": "/v1/charges\r\n/v1/charges/*",
        "rate_requests": "100",
        "rate_seconds": "60",
        "concurrency": "10",
    }
    shown = text(save(operator, row, **typed))
    assert "The policy was saved." in shown
    assert get_policy(row) == WHOLE
    user = operator.session["_auth_user_id"]
    assert list_changes(row) == [(f"user:{user}", sorted(NO_POLICY))]


def test_save_without_a_change_writes_nothing(operator: Client, row: Credential) -> None:
    set_policy(row, **WHOLE)
    save(operator, row)
    assert get_policy(row) == WHOLE
    assert len(list_changes(row)) == 1


def test_empty_fields_restrict_nothing(operator: Client, row: Credential) -> None:
    set_policy(row, **WHOLE)
    empty = dict.fromkeys(("methods", "paths", "rate_requests", "rate_seconds", "concurrency"), "")
    save(operator, row, **empty)
    assert get_policy(row) == NO_POLICY


@pytest.mark.parametrize(
    "policy",
    [{"methods": []}, {"paths": []}, {"methods": ["GET"], "paths": []}],
    ids=["methods", "paths", "both"],
)
def test_save_keeps_a_policy_that_permits_nothing(
    operator: Client, row: Credential, policy: dict[str, Any]
) -> None:
    set_policy(row, **policy)
    save(operator, row, concurrency="3")
    assert [] in (get_policy(row)["methods"], get_policy(row)["paths"])
    assert get_policy(row)["concurrency"] == 3


def test_all_requests_can_be_blocked_and_permitted_again(operator: Client, row: Credential) -> None:
    save(operator, row, paths="/v1/*", block_all="on")
    assert get_policy(row) == {**NO_POLICY, "methods": [], "paths": ["/v1/*"]}
    operator.post(page(row), {"paths": "/v1/*", "expected": get_page(operator, row)})
    assert get_policy(row) == {**NO_POLICY, "paths": ["/v1/*"]}


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({"methods": "GET\nget"}, "methods", "Line 2: must be a method such as GET, in capitals"),
        ({"methods": "\n".join(["GET"] * 21)}, "methods", "no more than 20"),
        ({"paths": "v1"}, "paths", "Line 1: must be a path such as /v1/charges*"),
        ({"paths": "/x\n" * (MAX_PATHS + 1)}, "paths", f"no more than {MAX_PATHS}"),
        ({"paths": "/" + "x" * 256}, "paths", "Line 1: "),
        ({"paths": "/a\u202eb"}, "paths", "Line 1: "),
        ({"rate_requests": "1"}, "rate_seconds", "required"),
        ({"rate_seconds": "1"}, "rate_requests", "required"),
        ({"rate_requests": "0", "rate_seconds": "1"}, "rate_requests", "greater than or equal"),
        ({"rate_requests": "1", "rate_seconds": "86401"}, "rate_seconds", "less than or equal"),
        ({"rate_requests": "x", "rate_seconds": "1"}, "rate_requests", "whole number"),
        ({"concurrency": "9" * 5000}, "concurrency", "whole number"),
        ({"concurrency": "-1"}, "concurrency", "greater than or equal"),
        ({"block_all": "on", "methods": "GET", "paths": "/"}, "block_all", "untick"),
        ({"expected": "{"}, "__all__", "Open it again"),
        ({"expected": ""}, "__all__", "Open it again"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else None,
)
def test_invalid_value_is_an_error_of_its_field(
    operator: Client, row: Credential, typed: dict[str, str], field: str, reason: str
) -> None:
    response = save(operator, row, **typed)
    assert reason in " ".join(response.context["form"].errors[field])
    assert get_policy(row) == NO_POLICY


def test_save_rejects_a_form_of_an_older_policy(operator: Client, row: Credential) -> None:
    before = get_page(operator, row)
    set_policy(row, methods=["GET"])
    response = operator.post(page(row), {"methods": "", "expected": before})
    assert "has changed since you opened it" in text(response)
    assert get_policy(row)["methods"] == ["GET"]


@pytest.mark.parametrize("group", ["Viewer", "Operator"])
def test_change_page_has_the_policy(staff_client: Any, row: Credential, group: str) -> None:
    browser = staff_client(group)
    url = address(Credential, "change", row.pk)
    assert "Nothing is restricted." in text(browser.get(url))
    set_policy(row, **WHOLE)
    shown = text(browser.get(url))
    for part in ("GET, HEAD", "/v1/charges, /v1/charges/*", "100 requests in 60 seconds"):
        assert part in shown
    assert (page(row) in shown) is (group == "Operator")


def test_viewer_cannot_edit_a_policy(staff_client: Any, row: Credential) -> None:
    viewer = staff_client("Viewer")
    assert viewer.get(page(row)).status_code == 403
    assert viewer.post(page(row), {"methods": "GET", "expected": "{}"}).status_code == 403
    assert get_policy(row) == NO_POLICY


def test_custodian_edits_a_policy(staff_client: Any, row: Credential) -> None:
    save(staff_client("Custodian"), row, methods="GET")
    assert get_policy(row)["methods"] == ["GET"]


def test_edit_decrypts_nothing(operator: Client, row: Credential, no_unsealing: None) -> None:
    save(operator, row, methods="GET")
    assert get_policy(row)["methods"] == ["GET"]


def test_policy_page_of_a_missing_credential(operator: Client, row: Credential) -> None:
    url = page(row).replace(str(row.pk), "0198c0de-0000-7000-8000-000000000000")
    assert "doesn’t exist" in text(operator.get(url, follow=True))


def get_page(browser: Client, row: Credential) -> str:
    value: str = browser.get(page(row)).context["form"]["expected"].value()
    return value


def test_change_page_has_the_limits_of_the_provider(browser: Client, account: Account) -> None:
    properties = get_registry().kinds["trello_key"].example
    row = make_credential(account, {"properties": dict(properties)})
    shown = text(browser.get(address(Credential, "change", row.pk)))
    assert "100 requests in 10 seconds" in shown
