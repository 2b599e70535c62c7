"""Changes of a credential while it is used: the next request sees them."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from accounts.models import Account
from credentials.models import Credential
from credentials.services.change_app import credential_change_app
from credentials.services.crud import credential_delete
from credentials.services.rotate import credential_rotate
from egress import Client
from events.models import Event
from tests.credentials.proxy.conftest import Caller
from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.upstream import UpstreamServer
from tests.factories import TESTER, make_account, make_app, make_credential, make_link, make_token
from tests.fakes.fixtures import wait_until

OLD, NEW = "old_key_0123456789ab", "new_key_0123456789ab"


@pytest.fixture
def send(
    server: ServerProcess, upstream: UpstreamServer, transactional_db: None
) -> Callable[..., Any]:
    def get(token: str, target: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        result = response.status, response.read()
        connection.close()
        return result

    return get


@pytest.fixture
def account_and_token(transactional_db: None) -> tuple[Account, str]:
    account = make_account()
    return account, make_token(account)


@pytest.fixture
def credential(account_and_token: tuple[Account, str]) -> Credential:
    account, _ = account_and_token
    return make_credential(
        account, {"properties": {"kind": "upstream_key", "key": OLD}, "external_id": "one"}
    )


def change_during_stream(send: Any, token: str, path: str, change: Callable[[], Any]) -> Any:
    """Make `change` after the response has begun, and return the whole response."""
    with ThreadPoolExecutor(1) as pool:
        pending_response = pool.submit(send, token, f"{path}/events?count=20&every=0.05")
        wait_until(lambda: Event.objects.filter(verb="credential.used").exists())
        change()
        assert not pending_response.done()
        return pending_response.result()


@pytest.mark.django_db(transaction=True)
def test_next_request_uses_the_rotated_key(send, credential, upstream, account_and_token):
    account, token = account_and_token
    path = f"/v1/proxy/credential/{credential.id}"

    def rotate() -> None:
        credential_rotate(
            account_id=account.id, id=credential.id, actor=TESTER, properties={"key": NEW}
        )

    status, body = change_during_stream(send, token, path, rotate)
    assert (status, body.count(b"data: ")) == (200, 20)
    for route in (path, "/proxy/upstream"):
        assert send(token, f"{route}/x")[0] == 200
    sent = [request.headers["authorization"] for request in upstream.requests]
    assert sent == [f"Bearer {OLD}", f"Bearer {NEW}", f"Bearer {NEW}"]


@pytest.mark.django_db(transaction=True)
def test_response_in_progress_outlives_its_credential(
    send, credential, upstream, account_and_token
):
    account, token = account_and_token
    path = f"/v1/proxy/credential/{credential.id}"

    def delete() -> None:
        credential_delete(account_id=account.id, id=credential.id, actor=TESTER)

    status, body = change_during_stream(send, token, path, delete)
    assert (status, body.count(b"data: ")) == (200, 20)
    assert [send(token, f"{route}/x")[0] for route in (path, "/proxy/upstream")] == [404, 400]
    assert len(upstream.requests) == 1


@pytest.mark.django_db(transaction=True)
def test_echo_after_a_rotation_is_masked(send, credential, account_and_token, upstream):
    """The secret that was sent is masked, also if another one is stored by now."""
    account, token = account_and_token
    path = f"/v1/proxy/credential/{credential.id}"
    status, body = send(token, f"{path}/secret")
    assert (status, OLD.encode() in body) == (200, False)
    credential_rotate(
        account_id=account.id, id=credential.id, actor=TESTER, properties={"key": NEW}
    )
    status, body = send(token, f"{path}/secret")
    assert (status, NEW.encode() in body) == (200, False)


@pytest.mark.django_db
def test_incomplete_link_is_no_credential(caller, account, upstream):
    link = make_link(account, kind="upstream_key")
    assert caller.get(f"/v1/proxy/credential/{link.id}/x").status == 404
    assert caller.get("/proxy/upstream/x").status == 400
    assert upstream.requests == []


@pytest.mark.django_db
def test_grant_with_a_changed_app_is_refreshed_by_it(account, grant, provider):
    row = grant()
    other = make_app(account, "fake", client_id="the-other", client_secret="s")
    provider.clients = {"the-other": "s"}
    client = Client(allow=frozenset({("127.0.0.1", provider.port)}))
    caller, path = Caller(client, make_token(account)), f"/v1/proxy/credential/{row.id}/me"
    other_api = Caller(client, make_token(make_account()))
    assert caller.get(path).status == 503  # The first app is refused, which pauses it alone.
    credential_change_app(account_id=account.id, id=row.id, actor=TESTER, oauth_app_id=other.id)
    assert (caller.get(path).status, other_api.get(path).status) == (200, 404)
    client.close()
