"""Services of other packages enqueue one delivery per change, in the transaction of the change."""

from __future__ import annotations

import pytest

from credentials.services.crud import credential_delete, credential_update
from oauth_apps.services import oauth_app_delete, oauth_app_update
from tests.factories import TESTER, make_app, make_credential
from webhooks.models import WebhookDelivery
from webhooks.outbox import CHUNK, enqueue


@pytest.fixture
def _endpoint(endpoint):
    """Let an endpoint subscribe to all events."""


def list_enqueued_types(id) -> list[str]:
    found = WebhookDelivery.objects.filter(target_id=id).order_by("created_at", "id")
    return list(found.values_list("type", flat=True))


@pytest.mark.usefixtures("_endpoint")
def test_an_oauth_apps_life(account):
    app = make_app(account)
    change = {"account_id": account.id, "id": app.id, "actor": TESTER}
    for _ in range(2):  # The second time nothing differs.
        oauth_app_update(**change, changes={"name": "New"})
    oauth_app_delete(**change)
    assert list_enqueued_types(app.id) == [
        "oauth_app.created",
        "oauth_app.updated",
        "oauth_app.deleted",
    ]


@pytest.mark.usefixtures("_endpoint")
def test_a_credentials_change_and_end(account):
    credential = make_credential(account)
    WebhookDelivery.objects.all().delete()
    change = {"account_id": account.id, "id": credential.id, "actor": TESTER}
    for _ in range(2):
        credential_update(**change, changes={"name": "New"})
    credential_delete(**change)
    assert list_enqueued_types(credential.id) == ["credential.updated", "credential.deleted"]


@pytest.mark.usefixtures("_endpoint")
def test_many_events_are_enqueued_in_few_statements(account, django_assert_num_queries):
    import uuid

    events = [("credential.created", uuid.uuid4()) for _ in range(CHUNK + 1)]
    with django_assert_num_queries(3):
        enqueue(account.id, events)
    assert WebhookDelivery.objects.count() == CHUNK + 1
