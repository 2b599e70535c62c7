"""A header name with an underscore never becomes another header, from any peer, on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from tests.credentials.proxy.wire import build_request, exchange
from tests.factories import make_account, make_credential, make_token

# Bytes of requests, in which the database has no part.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.one_database,
]


@pytest.fixture
def token(upstream: Any, transactional_db: None) -> str:
    account = make_account()
    make_credential(account, {"properties": {"kind": "upstream_key", "key": "k" * 20}})
    return make_token(account)


def test_names_with_underscores_are_dropped(server, upstream, token):
    lines = ("X-Trace: real", "X_Trace: 1", "x_other: 2", "SCRIPT_NAME: /x", "PATH_INFO: /y")
    with server.connect() as sock:
        request = build_request("GET", "/proxy/upstream/echo", token, *lines)
        response = exchange(sock, request)
    assert response.status == 200
    sent = upstream.requests[-1].headers
    assert sent["x-trace"] == "real"
    assert not {"x-other", "script-name", "path-info"} & set(sent)
    assert upstream.requests[-1].target.partition("?")[0] == "/echo"


def test_a_token_in_a_name_with_underscores_is_none(server, upstream, token):
    with server.connect() as sock:
        line = f"X_Api_Key: {token}"
        request = build_request("GET", "/proxy/upstream/echo", "none", line)
        assert exchange(sock, request).status == 401
