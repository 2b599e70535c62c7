"""The database goes away under a server that runs, and comes back."""

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

from credentials.models import CredentialUse
from events.models import Event
from tests.credentials.proxy.files import write_files
from tests.credentials.proxy.outage import CuttableDatabaseSocket
from tests.credentials.proxy.serving import ServerProcess
from tests.credentials.proxy.upstream import UpstreamServer
from tests.factories import make_account, make_credential, make_token
from tests.fakes.fixtures import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite is a file"),
    pytest.mark.processes,
]


class Got(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None

    @property
    def code(self) -> Any:
        return json.loads(self.body).get("code")


class Asking:
    def __init__(self, port: int, token: str, id: uuid.UUID) -> None:
        self._port = port
        self._sent = {"Authorization": f"Bearer {token}"}
        self._path = f"/v1/proxy/credential/{id}"

    def __call__(self, target: str = "/status?code=200", method: str = "GET") -> Got:
        asked = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        asked.request(method, self._path + target, headers=self._sent)
        answer = asked.getresponse()
        found = Got(answer.status, answer.read(), answer.getheader("Retry-After"))
        asked.close()
        return found


@pytest.fixture(scope="module")
def way(django_db_setup: None) -> Iterator[CuttableDatabaseSocket]:
    # Not of pytest's own folders: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory() as folder, CuttableDatabaseSocket(Path(folder)) as between:
        yield between


@pytest.fixture(scope="module")
def served(
    running: UpstreamServer, way: CuttableDatabaseSocket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("served")
    write_files(folder, running.port)
    opened = f"127.0.0.1:{running.port}"
    with override_settings(PROVIDERS_DIR=str(folder), EGRESS_ALLOW=opened):
        name = str(connection.settings_dict["NAME"])
        starting = ServerProcess(settings, name, host=str(way.folder))
    with starting as serving:
        yield serving


@pytest.fixture
def ask(upstream: UpstreamServer, served: ServerProcess, transactional_db: None) -> Asking:
    account = make_account()
    row = make_credential(account, {"properties": {"kind": "upstream_key", "key": "k" * 20}})
    return Asking(served.port, make_token(account), row.id)


def uses() -> int:
    return Event.objects.filter(verb="credential.used").count()


def test_nothing_is_sent_without_a_database_and_it_is_found_again(ask, upstream, way):
    assert ask().status == 200
    way.cut()
    for _ in range(2):  # Each waits for two seconds.
        down = ask(method="POST")
        assert (down.status, down.retry_after) == (503, "2")
    assert len(upstream.requests) == uses() == 1
    way.mend()
    began = time.monotonic()
    wait_until(lambda: ask().status == 200)
    # Not after nearly as long again as it was away.
    assert time.monotonic() - began < 2


def test_an_answer_that_cannot_be_written_down_is_kept_back(ask, upstream, way):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, "/slow?seconds=30", "POST")
        wait_until(lambda: upstream.requests)
        way.cut()
        upstream.shutting_down.set()
        found = asked.result()
    assert (found.status, found.code) == (503, "audit_write_failed")
    # Who takes that as leave to try again would do it twice.
    assert found.retry_after is None
    assert b"at last" not in found.body
    assert CredentialUse.objects.exists()
    way.mend()
    wait_until(lambda: ask().status == 200)
    assert uses() == 1  # That of the last line alone.


def test_a_short_outage_while_the_provider_thinks_is_not_seen(ask, upstream, way):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, "/slow?seconds=30")
        wait_until(lambda: upstream.requests)
        way.cut()
        way.mend()
        upstream.shutting_down.set()
        assert asked.result()[:2] == (200, b"at last")
    assert uses() == 1


def test_a_stream_goes_on_without_a_database(ask, upstream, way):
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, "/events?count=10&every=0.1")
        wait_until(uses)
        way.cut()
        found = asked.result()
    assert (found.status, found.body.count(b"data: ")) == (200, 10)
    way.mend()
    wait_until(lambda: ask().status == 200)


def test_an_outage_leaves_no_slot_and_no_connection_taken(ask, upstream, way):
    """More requests fail than a credential has at once, and than the pool has connections."""
    way.cut()
    with ThreadPoolExecutor(40) as pool:
        failed = list(pool.map(lambda _: ask(), range(40)))
    assert {found.status for found in failed} == {503}
    way.mend()
    wait_until(lambda: ask().status == 200)
    with ThreadPoolExecutor(40) as pool:
        assert {found.status for found in pool.map(lambda _: ask(), range(40))} == {200}
    assert way.connections <= 8


def test_a_grant_that_is_refreshed_meanwhile_is_not_lost(provider, grant, account, settings, way):
    row, name = grant(), str(connection.settings_dict["NAME"])
    provider.delay = 0.5
    with (
        ServerProcess(settings, name, host=str(way.folder)) as served,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(Asking(served.port, make_token(account), row.id), "/me")
        wait_until(lambda: provider.calls)
        way.cut()
        time.sleep(1)  # By then the provider has answered, and nothing takes it.
        way.mend()
        assert asked.result().status == 200
    assert len(provider.calls) == 1
    row.refresh_from_db()
    assert (row.generation, row.refresh_state) == (1, "active")
