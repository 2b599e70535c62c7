from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Account
from events.models import Event
from tests.admin.pages import address, errors, form_values, text
from tests.factories import make_endpoint
from webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from webhooks.outbox import enqueue

ADD = address(WebhookEndpoint, "add")
LIST = address(WebhookEndpoint, "changelist")
DELIVERIES = address(WebhookDelivery, "changelist")
URL = "http://127.0.0.1:9/hook"


@pytest.fixture
def endpoint(account: Account) -> WebhookEndpoint:
    return make_endpoint(account)


@pytest.fixture
def delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    enqueue(endpoint.account_id, [("oauth_app.created", endpoint.id)])
    return WebhookDelivery.objects.get()


def add_endpoint(browser: Client, account: Account, **typed: Any) -> Any:
    values = {"account": account.pk, "url": URL, "events": ["oauth_app.created"]}
    return browser.post(ADD, values | typed)


def test_new_secret_is_displayed_once(browser: Client, account: Account) -> None:
    response = add_endpoint(browser, account)
    assert "whsec_" in text(response)
    assert "no-store" in response["Cache-Control"]
    made = WebhookEndpoint.objects.get()
    assert (made.url, made.events) == (URL, ["oauth_app.created"])
    assert "whsec_" not in text(browser.get(address(WebhookEndpoint, "change", made.pk)))
    assert Event.objects.get(verb="webhook_endpoint.created").actor.startswith("user:")


@pytest.mark.parametrize(
    ("field", "typed"),
    [("url", "http://10.0.0.1/"), ("url", "nonsense"), ("events", []), ("events", ["nope"])],
)
def test_invalid_value_is_an_error_of_its_field(
    browser: Client, account: Account, field: str, typed: Any
) -> None:
    assert field in errors(add_endpoint(browser, account, **{field: typed}))
    assert not WebhookEndpoint.objects.exists()


def test_edit_updates_the_endpoint(browser: Client, endpoint: WebhookEndpoint) -> None:
    page = address(WebhookEndpoint, "change", endpoint.pk)
    values = form_values(browser.get(page)) | {"events": ["oauth_app.deleted"]}
    del values["enabled"]
    assert browser.post(page, values).status_code == 302
    changed = WebhookEndpoint.objects.get()
    assert (changed.enabled, changed.events) == (False, ["oauth_app.deleted"])
    assert changed.disabled_reason == "It was turned off."


def test_rotate_displays_the_new_secret(browser: Client, endpoint: WebhookEndpoint) -> None:
    chosen = {"action": "rotate_secret", "_selected_action": [endpoint.pk]}
    response = browser.post(LIST, chosen)
    assert "whsec_" in text(response)
    assert WebhookSecret.objects.count() == 2


def test_rotate_rejects_two_endpoints(browser: Client, account: Account) -> None:
    ids = [make_endpoint(account).pk for _ in range(2)]
    browser.post(LIST, {"action": "rotate_secret", "_selected_action": ids})
    assert WebhookSecret.objects.count() == 2


def test_delete_removes_secrets_and_deliveries(browser: Client, delivery: WebhookDelivery) -> None:
    page = address(WebhookEndpoint, "delete", delivery.endpoint_id)
    assert browser.post(page, {"post": "yes"}).status_code == 302
    assert not WebhookDelivery.objects.exists()
    assert not WebhookSecret.objects.exists()


def test_list_and_filter_deliveries(browser: Client, delivery: WebhookDelivery) -> None:
    assert "oauth_app.created" in text(browser.get(f"{DELIVERIES}?state=pending"))
    assert "0 webhook deliveries" in text(browser.get(f"{DELIVERIES}?state=failed"))
    found = text(browser.get(f"{DELIVERIES}?q={delivery.target_id}"))
    assert "1 webhook delivery" in found
    page = text(browser.get(address(WebhookDelivery, "change", delivery.pk)))
    assert '"type": "oauth_app.created"' in page


def test_deliveries_have_no_change_page(browser: Client, delivery: WebhookDelivery) -> None:
    page = address(WebhookDelivery, "change", delivery.pk)
    assert browser.post(page, {"state": "delivered"}).status_code == 403
    assert browser.post(address(WebhookDelivery, "delete", delivery.pk)).status_code == 403


def test_replay_makes_a_delivery_due(browser: Client, delivery: WebhookDelivery) -> None:
    WebhookDelivery.objects.update(state="failed", next_at=None)
    chosen = {"action": "replay", "_selected_action": [delivery.pk]}
    browser.post(DELIVERIES, chosen)
    assert WebhookDelivery.objects.get().state == "pending"
    assert Event.objects.filter(verb="webhook_delivery.replayed").count() == 1


def test_replay_rejects_too_many_rows(
    browser: Client, delivery: WebhookDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.admin.MAX_BULK_REPLAY", 1)
    enqueue(delivery.account_id, [("oauth_app.created", delivery.id)])
    chosen = {"action": "replay", "_selected_action": [delivery.pk], "select_across": "1"}
    response = browser.post(DELIVERIES, chosen, follow=True)
    assert "Select at most 1 at once; nothing was done." in text(response)
    assert not Event.objects.filter(verb="webhook_delivery.replayed").exists()


def test_bulk_delete_of_endpoints(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.admin.model_admin.MAX_BULK_DELETE", 1)
    ids = [make_endpoint(account).pk for _ in range(2)]
    chosen = {"action": "delete_selected", "_selected_action": ids, "post": "yes"}
    assert "Select at most 1 at once" in text(browser.post(LIST, chosen, follow=True))
    assert WebhookEndpoint.objects.count() == 2


def test_replay_reports_an_error(browser: Client, delivery: WebhookDelivery) -> None:
    WebhookEndpoint.objects.update(enabled=False)
    chosen = {"action": "replay", "_selected_action": [delivery.pk]}
    response = browser.post(DELIVERIES, chosen, follow=True)
    assert "enable it first" in text(response)
