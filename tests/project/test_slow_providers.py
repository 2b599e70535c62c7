"""The API server responds to others while a provider or a client is slow."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from tests.credentials.proxy.server_process import ServerProcess
from tests.factories import make_app, make_token
from tests.fakes.fixtures import app, facts, grant, make_grant, provider, start, wait_until

__all__ = ["app", "facts", "grant", "provider", "start"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

APPS, GRANTS = 2, 12


@pytest.fixture
def serving(provider, account, settings) -> Iterator[ServerProcess]:
    with ServerProcess(settings, str(connection.settings_dict["NAME"]), "serve") as served:
        yield served


def test_lists_respond_while_a_provider_is_silent(serving, provider, account):
    token = make_token(account)
    rows = [
        make_grant(account, make_app(account, "fake"), provider, f"u{one}{two}")
        for one in range(APPS)
        for two in range(GRANTS)
    ]
    provider.mode = "hang"
    with ThreadPoolExecutor(len(rows)) as pool:
        futures = [pool.submit(call, serving, "POST", f"{row.id}/token", token) for row in rows]
        wait_until(lambda: len(provider.calls) == len(rows))
        status, document = call(serving, "GET", "?limit=1", token)
        assert (status, len(document["data"])) == (200, 1)
        assert not any(future.done() for future in futures)
        provider.stopping.set()
        assert {future.result()[0] for future in futures} == {503}


def test_lists_respond_while_clients_send_slowly(serving, account):
    token = make_token(account)
    head = (
        "POST /v1/credentials{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {{}}\r\n\r\n[{{{{"
    )
    senders = [serving.connect() for _ in range(24)]
    for number, sender in enumerate(senders):
        path, length = ("", 1000) if number % 2 else ("/import", 1_000_000)
        sender.sendall(head.format(path, length).encode())
    for _ in range(5):
        # Until the slow clients have all the threads that they can get.
        time.sleep(0.1)
        assert call(serving, "GET", "", token)[0] == 200
    assert all(is_waiting(sender) for sender in senders)
    for sender in senders:
        sender.close()


def call(serving: ServerProcess, method: str, path: str, token: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    separator = "" if path.startswith("?") or not path else "/"
    headers = {"Authorization": f"Bearer {token}"}
    connection.request(method, f"/v1/credentials{separator}{path}", headers=headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def is_waiting(sender: socket.socket) -> bool:
    """Return whether the server has neither responded nor disconnected."""
    sender.settimeout(0.01)
    try:
        sender.recv(1)
    except TimeoutError:
        return True
    return False
