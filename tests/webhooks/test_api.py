"""/v1/webhook-endpoints and its deliveries."""

from __future__ import annotations

import pytest

from events.models import Event
from tests.api import ApiClient
from tests.factories import make_token
from tests.threads import run_concurrently
from tests.webhooks.conftest import make_endpoint
from tests.webhooks.work import enqueue, get_only_delivery, run_worker
from webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from webhooks.services import MAX_ENDPOINTS

PATH = "/v1/webhook-endpoints"
EVENTS = ["credential.created", "credential.deleted"]


@pytest.fixture
def body(receiver):
    return {"url": receiver.url, "events": EVENTS}


@pytest.fixture
def made(api, body):
    return api.post(PATH, body).json()


def at(made) -> str:
    return f"{PATH}/{made['id']}"


def test_creating_shows_the_secret_once(api, body):
    answer = api.post(PATH, body)
    shown = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert shown["secret"].startswith("whsec_")
    assert (shown["url"], shown["events"], shown["enabled"]) == (body["url"], EVENTS, True)
    later = api.get(at(shown))
    assert "secret" not in later.json()
    assert later["ETag"] == answer["ETag"]
    assert shown["secret"] not in api.get(PATH).content.decode()


def test_the_list_is_newest_first(api, body):
    ids = [api.post(PATH, body).json()["id"] for _ in range(3)]
    page = api.get(f"{PATH}?limit=2").json()
    assert [each["id"] for each in page["data"]] == ids[:0:-1]
    assert page["next_cursor"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": None}, "url"),
        ({"url": "not a url"}, "url"),
        ({"url": "https://user:word@example.com/"}, "url"),
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://metadata.google.internal/"}, "url"),
        ({"url": "https://example.com/" + "x" * 2048}, "url"),
        ({"events": []}, "events"),
        ({"events": "credential.created"}, "events"),
        ({"events": ["credential.exploded"]}, "events"),
        ({"events": [1]}, "events.0"),
        ({"events": ["credential.created", "credential.created"]}, "events"),
        ({"enabled": 1}, "enabled"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
)
def test_a_wrong_field_is_422_that_names_it(api, body, wrong, field):
    answer = api.post(PATH, {**body, **wrong})
    assert answer.status_code == 422
    assert list(answer.json()["validation_errors"]) == [field]
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("missing", ["url", "events"])
def test_missing_fields_are_named(api, body, missing):
    del body[missing]
    answer = api.post(PATH, body)
    assert (answer.status_code, list(answer.json()["validation_errors"])) == (422, [missing])


def test_name_that_resolves_to_a_private_address_is_422(api, body, monkeypatch):
    from egress import Client, client

    inside = Client(lookup=lambda name: ["10.0.0.7"])
    monkeypatch.setattr(client, "get_default_client", lambda: inside)
    answer = api.post(PATH, {**body, "url": "https://hooks.example.com/x"})
    assert answer.status_code == 422
    assert "not public" in answer.json()["validation_errors"]["url"][0]


def test_patch_changes_the_given_fields(api, made):
    answer = api.patch(at(made), {"events": ["credential.updated"]})
    assert answer.status_code == 200
    assert answer.json()["events"] == ["credential.updated"]
    assert Event.objects.get(verb="webhook_endpoint.updated").changed == ["events"]


def test_a_patch_of_the_same_writes_nothing(api, made):
    before = api.get(at(made))
    answer = api.patch(at(made), {"events": EVENTS, "url": made["url"], "enabled": True})
    assert (answer.json(), answer["ETag"]) == (before.json(), before["ETag"])


def test_a_patch_to_a_private_address_is_422(api, made):
    assert api.patch(at(made), {"url": "https://10.0.0.1/"}).status_code == 422


def test_disabling_stores_time_and_reason_and_enabling_clears_them(api, made):
    off = api.patch(at(made), {"enabled": False}).json()
    assert off["disabled_at"]
    assert off["disabled_reason"] == "It was turned off."
    WebhookEndpoint.objects.update(failing_since=off["disabled_at"], failures=9)
    on = api.patch(at(made), {"enabled": True}).json()
    assert (on["disabled_at"], on["disabled_reason"], on["failing_since"]) == (None, None, None)


def test_one_can_be_made_disabled(api, body):
    shown = api.post(PATH, {**body, "enabled": False}).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "It was turned off.")


@pytest.mark.parametrize(
    ("verb", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/rotate-secret")]
)
def test_an_old_etag_is_412(api, made, verb, path):
    answer = api.send(
        verb,
        at(made) + path,
        None if verb == "DELETE" else {},
        headers={"If-Match": '"99"'},
    )
    assert answer.status_code == 412


def test_delete_removes_all_of_it(api, made, account):
    enqueue(account, "credential.created")
    assert api.delete(at(made)).status_code == 204
    assert api.get(at(made)).status_code == 404
    assert not WebhookSecret.objects.exists()
    assert not WebhookDelivery.objects.exists()


def test_rotating_shows_the_new_secret_once(api, made):
    answer = api.post(f"{at(made)}/rotate-secret")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert answer.json()["secret"] not in {made["secret"], None}
    assert answer.json()["old_secret_until"]
    assert WebhookSecret.objects.count() == 2


def test_the_old_secret_can_be_dropped_at_once(api, made):
    answer = api.post(f"{at(made)}/rotate-secret", {"drop_old_secret": True})
    assert answer.json()["old_secret_until"] is None
    assert WebhookSecret.objects.count() == 1


def test_rotating_takes_no_other_field(api, made):
    assert api.post(f"{at(made)}/rotate-secret", {"secret": "mine"}).status_code == 422


def test_deliveries_are_shown(api, made, account, receiver):
    target = enqueue(account, "credential.created")
    receiver.status = 500
    run_worker()
    (shown,) = api.get(f"{at(made)}/deliveries").json()["data"]
    assert shown["payload"]["data"] == {"id": str(target), "account_id": str(account.id)}
    assert (shown["state"], shown["attempts"], shown["last_status"]) == ("pending", 1, 500)
    assert shown["last_error"] == "The receiver responded with status 500."
    assert shown["webhook_id"] == receiver.requests[0].id


def test_deliveries_are_filtered(api, made, account):
    for type in EVENTS:
        enqueue(account, type)
    path = f"{at(made)}/deliveries"
    assert len(api.get(f"{path}?state=pending").json()["data"]) == 2
    assert api.get(f"{path}?state=failed").json()["data"] == []
    assert len(api.get(f"{path}?type=credential.deleted").json()["data"]) == 1
    assert api.get(f"{path}?state=nope").status_code == 400
    assert api.get(f"{path}?nope=1").status_code == 400


def test_deliveries_page(api, made, account):
    for _ in range(3):
        enqueue(account, "credential.created")
    page = api.get(f"{at(made)}/deliveries?limit=2").json()
    rest = api.get(f"{at(made)}/deliveries?limit=2&cursor={page['next_cursor']}").json()
    assert (len(page["data"]), len(rest["data"]), rest["next_cursor"]) == (2, 1, None)


def test_replay_is_202_and_makes_it_due(api, made, account, receiver):
    enqueue(account, "credential.created")
    run_worker()
    answer = api.post(f"{at(made)}/deliveries/{get_only_delivery().id}/replay")
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    run_worker()
    assert [request.id for request in receiver.requests] == [
        str(get_only_delivery().message_id)
    ] * 2
    assert Event.objects.get(verb="webhook_delivery.replayed").target_id == get_only_delivery().id


def test_replay_to_a_disabled_endpoint_is_409(api, made, account):
    enqueue(account, "credential.created")
    api.patch(at(made), {"enabled": False})
    assert api.post(f"{at(made)}/deliveries/{get_only_delivery().id}/replay").status_code == 409


def test_replay_of_a_delivery_in_flight_is_409(api, made, account):
    from webhooks.leases import claim_due_deliveries

    enqueue(account, "credential.created")
    claim_due_deliveries(owner="a", limit=1)
    assert api.post(f"{at(made)}/deliveries/{get_only_delivery().id}/replay").status_code == 409


def test_replay_of_a_blocked_delivery_does_not_fail(api, made, account, receiver):
    receiver.status = 500
    target = enqueue(account, "credential.created")
    enqueue(account, "credential.deleted", target)
    run_worker()
    waiting = WebhookDelivery.objects.get(type="credential.deleted")
    WebhookDelivery.objects.filter(id=waiting.id).update(next_at=None)
    assert api.post(f"{at(made)}/deliveries/{waiting.id}/replay").status_code == 202


def test_replay_takes_no_body(api, made, account):
    enqueue(account, "credential.created")
    path = f"{at(made)}/deliveries/{get_only_delivery().id}/replay"
    assert api.post(path, {"now": True}).status_code == 400


def test_endpoints_of_another_account_are_not_found(other_api, made, account):
    enqueue(account, "credential.created")
    delivery = get_only_delivery().id
    for verb, path, body in [
        ("GET", "", None),
        ("PATCH", "", {"enabled": False}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{delivery}/replay", None),
    ]:
        assert other_api.send(verb, at(made) + path, body).status_code == 404
    assert other_api.get(PATH).json()["data"] == []


def test_delivery_is_found_under_its_own_endpoint_only(api, made, account, body):
    enqueue(account, "credential.created")
    delivery = get_only_delivery().id
    other = api.post(PATH, body).json()
    assert api.post(f"{at(other)}/deliveries/{delivery}/replay").status_code == 404


@pytest.mark.parametrize("id", ["x", "0198", "01989AA0-0000-7000-8000-000000000000"])
def test_invalid_id_is_404(api, id):
    assert api.get(f"{PATH}/{id}").status_code == 404
    assert api.get(f"{PATH}/{id}/deliveries").status_code == 404
    assert api.post(f"{PATH}/{id}/deliveries/{id}/replay").status_code == 404


def test_reading_and_writing_are_scopes_of_their_own(account, made, body):
    reader = ApiClient(make_token(account, "webhooks:read"))
    assert reader.get(PATH).status_code == 200
    assert reader.post(PATH, body).json()["missing_scope"] == "webhooks:write"
    assert reader.post(f"{at(made)}/rotate-secret").status_code == 403
    writer = ApiClient(make_token(account, "webhooks:write"))
    assert writer.get(f"{at(made)}/deliveries").json()["missing_scope"] == "webhooks:read"


def test_number_of_endpoints_is_limited(api, account, receiver, body):
    for _ in range(MAX_ENDPOINTS):
        make_endpoint(account, receiver)
    assert api.post(PATH, body).status_code == 409


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_exceed_the_maximum(api, account, receiver, body):
    for _ in range(MAX_ENDPOINTS - 1):
        make_endpoint(account, receiver)
    found = run_concurrently(lambda _: api.post(PATH, body).status_code, 6)
    assert sorted(found) == [201] + [409] * 5
