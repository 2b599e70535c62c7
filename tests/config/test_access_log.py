"""The access log names the route of each request and never what could be a secret."""

from __future__ import annotations

import uuid

import pytest
from structlog.testing import capture_logs

from config.proxy_access_log import ProxyAccessLog
from credentials.proxy.wsgi import REQUEST_ID_KEY
from tests.api import ApiClient

CANARY = "canary-3f9c0d51"
ID = "0198a1b2-0000-7000-8000-000000000001"


@pytest.fixture(autouse=True)
def _log_requests(settings):
    settings.ACCESS_LOG = True


def send(client: ApiClient, path: str, method: str = "GET", **options):
    """Return the response and its line in the access log."""
    with capture_logs() as lines:
        response = client.send(method, path, **options)
    return response, [line for line in lines if line["event"] == "request"]


def test_a_line_has_the_route_the_caller_and_the_time(db, api, account):
    response, [line] = send(api, f"/v1/credentials?q={CANARY}")
    assert line["path"] == "/v1/credentials"
    assert (line["method"], line["status"]) == ("GET", response.status_code)
    assert line["account"] == str(account.id)
    assert line["actor"].startswith("token:")
    assert line["client_ip"] == "127.0.0.1"
    assert line["ms"] > 0


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        (f"/v1/credentials/{ID}", f"/v1/credentials/{ID}"),
        (f"/v1/credentials/{ID}/reveal", f"/v1/credentials/{ID}/reveal"),
        (f"/v1/credentials/{CANARY}", "/v1/credentials/{pk}"),
        (f"/v1/providers/{CANARY}", "/v1/providers/{slug}"),
        (f"/v1/{CANARY}", "*"),
        (f"/connect/{CANARY}", "/connect/{token}"),
        (f"/{CANARY}", "*"),
    ],
)
def test_a_path_is_logged_by_its_route(db, api, path, logged):
    _, [line] = send(api, path)
    assert line["path"] == logged
    assert CANARY not in str(line)


def test_a_caller_without_a_token_has_no_name(db):
    _, [line] = send(ApiClient(), "/v1/credentials")
    assert (line["status"], line["account"], line["actor"]) == (401, None, None)


def test_a_staff_page_names_its_user(admin_client, admin_user):
    with capture_logs() as lines:
        admin_client.get("/admin/")
    assert lines[-1]["actor"] == f"user:{admin_user.pk}"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_monitors_are_not_logged(db, api, path):
    assert send(api, path)[1] == []


def test_unknown_methods_are_not_repeated(db, api):
    _, [line] = send(api, "/v1/credentials", method=CANARY.upper())
    assert line["method"] == "OTHER"


def test_nothing_is_logged_unless_it_is_set(db, api, settings):
    settings.ACCESS_LOG = False
    assert send(api, "/v1/credentials")[1] == []


def test_a_proxied_request_is_logged_when_its_body_ends():
    def proxy(environ, start):
        start("206 Partial Content", [])
        yield b"piece"

    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": f"/v1/proxy/credential/{ID}/v1/charges/{CANARY}?key={CANARY}",
        "REMOTE_ADDR": "192.0.2.7",
        REQUEST_ID_KEY: "a" * 32,
    }
    with capture_logs() as lines:
        body = ProxyAccessLog(proxy)(environ, lambda *_: None)
        assert list(body) == [b"piece"]
        assert lines == []
        body.close()
    [line] = lines
    assert line["path"] == "/v1/proxy/credential/*/v1/charges/*"
    assert (line["status"], line["client_ip"]) == (206, "192.0.2.7")
    assert line["request_id"] == "a" * 32


def test_a_trusted_proxy_names_the_request(db, api, settings):
    settings.TRUSTED_PROXIES = 1
    sent = uuid.uuid4()
    for text in (sent.hex, str(sent)):
        response = api.get("/v1/credentials", headers={"X-Request-Id": text})
        assert response.headers["X-Request-Id"] == sent.hex


@pytest.mark.parametrize("sent", ["", "x" * 32, "a" * 31, f"{'a' * 32}\n", f"{{{ID}}}"])
def test_another_id_is_replaced(db, api, settings, sent):
    settings.TRUSTED_PROXIES = 1
    response = api.get("/v1/credentials", headers={"X-Request-Id": sent})
    assert response.headers["X-Request-Id"] != sent


def test_a_client_cannot_name_its_request(db, api):
    response = api.get("/v1/credentials", headers={"X-Request-Id": "a" * 32})
    assert response.headers["X-Request-Id"] != "a" * 32
