"""The database stops while the server runs, and starts again."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from credentials.core.grant_state import get_grant
from credentials.models import CredentialUse
from events.models import Event
from tests.credentials.proxy.database_socket import CuttableDatabaseSocket
from tests.credentials.proxy.provider_files import write_files
from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.upstream import UpstreamServer
from tests.factories import make_account, make_credential, make_token
from tests.fakes.fixtures import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite is a file"),
    pytest.mark.processes,
]


class Response(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None

    @property
    def code(self) -> Any:
        return json.loads(self.body).get("code")


class ProxyClient:
    def __init__(self, port: int, token: str, id: uuid.UUID) -> None:
        self._port = port
        self._sent = {"Authorization": f"Bearer {token}"}
        self._path = f"/v1/proxy/credential/{id}"

    def __call__(self, target: str = "/status?code=200", method: str = "GET") -> Response:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        client.request(method, self._path + target, headers=self._sent)
        try:
            response = client.getresponse()
            return Response(response.status, response.read(), response.getheader("Retry-After"))
        finally:
            client.close()


@pytest.fixture(scope="module")
def database_socket(django_db_setup: None) -> Iterator[CuttableDatabaseSocket]:
    # Not of pytest's own folders: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory() as folder, CuttableDatabaseSocket(Path(folder)) as between:
        yield between


@pytest.fixture(scope="module")
def server(
    shared_upstream: UpstreamServer,
    database_socket: CuttableDatabaseSocket,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("served")
    write_files(folder, shared_upstream.port)
    opened = f"127.0.0.1:{shared_upstream.port}"
    with override_settings(PROVIDERS_DIR=str(folder), EGRESS_ALLOW=opened):
        name = str(connection.settings_dict["NAME"])
        starting = ServerProcess(settings, name, host=str(database_socket.folder))
    with starting as serving:
        yield serving


@pytest.fixture
def send(upstream: UpstreamServer, server: ServerProcess, transactional_db: None) -> ProxyClient:
    account = make_account()
    row = make_credential(account, {"properties": {"kind": "upstream_key", "key": "k" * 20}})
    return ProxyClient(server.port, make_token(account), row.id)


def count_uses() -> int:
    return Event.objects.filter(verb="credential.used").count()


def test_sends_nothing_without_database_and_reconnects(send, upstream, database_socket):
    assert send().status == 200
    database_socket.cut()
    for _ in range(2):  # Each waits for two seconds.
        down = send(method="POST")
        assert (down.status, down.retry_after) == (503, "2")
    assert len(upstream.requests) == count_uses() == 1
    database_socket.mend()
    began = time.monotonic()
    wait_until(lambda: send().status == 200)
    # Not after nearly as long again as it was away.
    assert time.monotonic() - began < 2


def test_response_is_withheld_if_its_event_cannot_be_stored(send, upstream, database_socket):
    with ThreadPoolExecutor(1) as pool:
        pending_response = pool.submit(send, "/slow?seconds=30", "POST")
        wait_until(lambda: upstream.requests)
        database_socket.cut()
        upstream.shutting_down.set()
        response = pending_response.result()
    assert (response.status, response.code) == (503, "audit_write_failed")
    # Who takes that as leave to try again would do it twice.
    assert response.retry_after is None
    assert b"at last" not in response.body
    assert CredentialUse.objects.exists()
    database_socket.mend()
    wait_until(lambda: send().status == 200)
    assert count_uses() == 1  # That of the last line alone.


def test_short_outage_during_a_call_has_no_effect(send, upstream, database_socket):
    with ThreadPoolExecutor(1) as pool:
        pending_response = pool.submit(send, "/slow?seconds=30")
        wait_until(lambda: upstream.requests)
        database_socket.cut()
        database_socket.mend()
        upstream.shutting_down.set()
        assert pending_response.result()[:2] == (200, b"at last")
    assert count_uses() == 1


def test_stream_continues_without_database(send, upstream, database_socket):
    with ThreadPoolExecutor(1) as pool:
        pending_response = pool.submit(send, "/events?count=10&every=0.1")
        wait_until(count_uses)
        database_socket.cut()
        response = pending_response.result()
    assert (response.status, response.body.count(b"data: ")) == (200, 10)
    database_socket.mend()
    wait_until(lambda: send().status == 200)


def test_outage_releases_slots_and_connections(send, upstream, database_socket):
    """More requests fail than a credential has slots, and than the pool has connections."""
    database_socket.cut()
    with ThreadPoolExecutor(40) as pool:
        failed = list(pool.map(lambda _: send(), range(40)))
    assert {response.status for response in failed} == {503}
    database_socket.mend()
    wait_until(lambda: send().status == 200)
    with ThreadPoolExecutor(40) as pool:
        assert {response.status for response in pool.map(lambda _: send(), range(40))} == {200}
    assert database_socket.connections <= 8


def test_grant_refreshed_during_an_outage_is_not_lost(
    provider, grant, account, settings, database_socket
):
    row, name = grant(), str(connection.settings_dict["NAME"])
    provider.delay = 0.5
    with (
        ServerProcess(settings, name, host=str(database_socket.folder)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        pending_response = pool.submit(ProxyClient(server.port, make_token(account), row.id), "/me")
        wait_until(lambda: provider.calls)
        database_socket.cut()
        time.sleep(1)  # By then the provider has answered, and nothing takes it.
        database_socket.mend()
        assert pending_response.result().status == 200
    assert len(provider.calls) == 1
    row.refresh_from_db()
    assert (get_grant(row).generation, get_grant(row).state) == (1, "active")
