"""/metrics of a server with two workers: each responds for both."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.wire import build_request, exchange
from tests.factories import make_account, make_credential, make_token
from tests.fakes.fixtures import wait_until

# Counters of processes, which are not in the database.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.one_database,
]

PASSED = 'latchkey_proxy_requests_total{method="GET",provider="upstream",status="200"}'
ANSWERED = 'latchkey_proxy_answer_seconds_count{provider="upstream"}'
REFUSED = 'latchkey_proxy_refused_total{status="401"}'
UNDER_WAY = "latchkey_proxy_requests_under_way"
HERE = 'latchkey_requests_total{status="401"}'


@pytest.fixture
def token(upstream: Any, transactional_db: None) -> str:
    account = make_account()
    make_credential(account, {"properties": {"kind": "upstream_key", "key": "k" * 20}})
    return make_token(account)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which servers create the folder for their counters."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "folders"))
    (tmp_path / "folders").mkdir()
    return tmp_path / "folders"


@pytest.fixture
def start_server(upstream: Any, settings: Any, folders: Path) -> Iterator[Callable[..., Any]]:
    """Start a server with two workers: `start_server("serve")`. It must leave no folder behind."""
    with contextlib.ExitStack() as stack:

        def start(command: str) -> ServerProcess:
            name = str(connection.settings_dict["NAME"])
            server = stack.enter_context(ServerProcess(settings, name, command, workers=2))
            wait_until(lambda: len(list_workers(server)) == 2)
            return server

        yield start
        assert list(folders.iterdir()) != []
    assert list(folders.iterdir()) == []


def test_metrics_cover_all_workers(start_server, token):
    server = start_server("serve_proxy")
    for pid in list_workers(server):
        with stop_other_workers(server, pid):
            assert send(server, "/proxy/upstream/status?code=200", token).status == 200
            assert send(server, "/proxy/upstream/status?code=200", "wrong").status == 401
    for pid in list_workers(server):
        with stop_other_workers(server, pid):
            metrics = scrape_metrics(server)
        wanted = {PASSED: 2, ANSWERED: 2, REFUSED: 2, UNDER_WAY: 0}
        assert {name: metrics.get(name) for name in wanted} == wanted


def test_metrics_of_a_killed_worker_stay(start_server, token):
    server = start_server("serve_proxy")
    first, second = list_workers(server)
    with stop_other_workers(server, first):
        assert send(server, "/proxy/upstream/status?code=200", token).status == 200
        sock = server.connect()
        sock.sendall(build_request("GET", "/proxy/upstream/slow?seconds=30", token))
        wait_until(lambda: scrape_metrics(server)[UNDER_WAY] == 1)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(list_workers(server)) == 2 and first not in list_workers(server))
    sock.close()
    metrics = scrape_metrics(server)
    assert (metrics[PASSED], metrics[UNDER_WAY]) == (1, 0)
    with stop_other_workers(server, second):
        assert send(server, "/proxy/upstream/status?code=200", token).status == 200
    assert scrape_metrics(server)[PASSED] == 2


def test_api_metrics_cover_all_workers(start_server, token, folders):
    server = start_server("serve")
    request_count = 0
    while len(counting := list(folders.glob("*/counter_*.db"))) < 2:
        assert request_count < 500, counting
        assert send(server, "/v1/credentials", "wrong").status == 401
        request_count += 1
    metrics = [scrape_metrics(server) for _ in range(10)]
    assert [each[HERE] for each in metrics] == [request_count] * 10
    # Requests of monitors, such as this test's, are not counted.
    assert {each["latchkey_request_seconds_count"] for each in metrics} == {request_count}
    assert not any(name.startswith("latchkey_proxy") for name in metrics[0])


@contextlib.contextmanager
def stop_other_workers(server: ServerProcess, pid: int) -> Iterator[None]:
    """Stop all other workers, so that this one responds."""
    others = [other for other in list_workers(server) if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def list_workers(server: ServerProcess) -> list[int]:
    return sorted(server.workers)


def send(server: ServerProcess, target: str, token: str) -> Any:
    with server.connect() as sock:
        return exchange(sock, build_request("GET", target, token))


def scrape_metrics(server: ServerProcess) -> dict[str, float]:
    response = send(server, "/metrics", "none")
    assert response.status == 200
    lines = [line for line in response.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
