"""A request is forwarded with the credential, and its response returned."""

from __future__ import annotations

import base64
import json

import pytest
from django.db import OperationalError

from credentials.models import CredentialUse
from events.models import Event
from tests.credentials.proxy.conftest import KEY, basic_auth_header
from tests.factories import make_account, make_token


def test_the_credential_is_put_on_the_request(caller, path, upstream):
    response = caller.get(f"{path}/echo/charges?limit=3&a=%20b")
    assert response.status == 200
    request = upstream.requests[0]
    assert (request.method, request.target) == ("GET", "/echo/charges?limit=3&a=%20b")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert caller.token not in json.dumps(request.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_is_forwarded_with_its_body(caller, path, upstream, method):
    sent = {"Content-Type": "application/json", "Idempotency-Key": "k-1"}
    assert caller.send(method, f"{path}/x", b'{"a": 1}', headers=sent).status == 200
    request = upstream.requests[0]
    assert (request.method, request.body) == (method, b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "k-1"


def test_chunked_body_is_forwarded_in_chunks(caller, path, upstream):
    assert caller.send("POST", f"{path}/x", b"pieces" * 50_000, chunked=True).status == 200
    request = upstream.requests[0]
    assert request.body == b"pieces" * 50_000
    assert request.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in request.headers


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("upheader_key", "x-api-key", KEY),
        ("upbasic_key", "authorization", f"Basic {base64.b64encode(f'{KEY}:'.encode()).decode()}"),
    ],
)
def test_credential_is_put_where_the_provider_expects_it(
    caller, create_credential, upstream, kind, name, value
):
    row = create_credential(kind, key=KEY)
    assert caller.get(f"/v1/proxy/credential/{row.id}/x").status == 200
    assert upstream.requests[0].headers[name] == value


def test_credential_is_put_into_the_query(caller, create_credential, upstream):
    row = create_credential("upquery_key", key=f"{KEY}&=")
    caller.get(f"/v1/proxy/credential/{row.id}/x?a=1")
    caller.get(f"/v1/proxy/credential/{row.id}/y")
    assert [request.target for request in upstream.requests] == [
        f"/x?a=1&api_key={KEY}%26%3D",
        f"/y?api_key={KEY}%26%3D",
    ]


def test_callers_own_value_of_the_key_parameter_is_rejected(caller, create_credential, upstream):
    row = create_credential("upquery_key", key=KEY)
    assert caller.get(f"/v1/proxy/credential/{row.id}/x?API_KEY=1").status == 400
    assert upstream.requests == []


def test_a_base_url_with_a_path_comes_first(caller, create_credential, upstream):
    create_credential("upbase_key", key=KEY)
    caller.get("/proxy/upbase/things?x")
    assert upstream.requests[0].target == "/api/v2/things?x"


def test_newest_credential_of_a_provider_is_used(caller, create_credential, upstream):
    create_credential(key="older_key_00000000")
    create_credential(key="newer_key_11111111")
    assert caller.get("/proxy/upstream/x").status == 200
    assert upstream.requests[0].headers["authorization"] == "Bearer newer_key_11111111"


@pytest.mark.parametrize("service", ["nobody", "custom", "custom.unknown", "upheader"])
def test_a_service_without_a_credential_is_400_in_one_line(caller, row, service):
    response = caller.get(f"/proxy/{service}/x")
    assert response.status == 400
    assert list(response.json()) == ["error"]


def test_credential_of_another_account_is_404(caller, path, upstream):
    caller.token = make_token(make_account())
    unknown = caller.get(f"{path.rpartition('/')[0]}/01989aa0-0000-7000-8000-000000000000/x")
    foreign = caller.get(f"{path}/x")
    assert (foreign.status, unknown.status, upstream.requests) == (404, 404, [])
    assert {**foreign.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


def test_head_has_no_body_and_its_length(caller, path):
    response = caller.send("HEAD", f"{path}/echo")
    assert (response.status, response.body) == (200, b"")
    assert int(response.header("Content-Length") or 0) > 0


@pytest.mark.parametrize("status", [204, 304, 301, 418, 429, 500, 599])
def test_status_is_unchanged(caller, path, status):
    response = caller.get(f"{path}/status?code={status}")
    assert response.status == status
    assert response.error is None
    assert response.body == (b"" if status in {204, 304} else b"a body")


def test_compressed_response_stays_compressed(caller, path, upstream):
    headers = {"Accept-Encoding": "br, gzip;q=0.8, zstd"}
    response = caller.get(f"{path}/gzip", headers=headers)
    assert response.header("Content-Encoding") == "gzip"
    assert response.body[:2] == b"\x1f\x8b"
    assert len(response.body) == int(response.header("Content-Length"))
    assert upstream.requests[0].headers["accept-encoding"] == "gzip"


def test_redirect_is_rewritten_and_not_followed(caller, path, upstream):
    response = caller.get(f"{path}/redirect")
    assert response.status == 302
    assert response.header("Location") == f"http://127.0.0.1:8001{path}/echo?moved=1"
    assert len(upstream.requests) == 1


def test_redirect_to_another_host_is_unchanged(caller, path, upstream):
    elsewhere = "http://169.254.169.254/latest/meta-data/"
    response = caller.get(f"{path}/redirect?to={elsewhere}")
    assert response.header("Location") == elsewhere
    assert len(upstream.requests) == 1


def test_links_are_rewritten_and_cookies_removed(caller, row):
    response = caller.get("/proxy/upstream/links")
    assert response.header("Link") == (
        '<http://127.0.0.1:8001/proxy/upstream/links?page=2>; rel="next",'
        ' <https://elsewhere.example/x>; rel="help"'
    )
    for gone in ("Set-Cookie", "WWW-Authenticate", "Connection", "X-Private"):
        assert response.header(gone) is None


def test_headers_about_the_caller_are_not_forwarded(caller, path, upstream):
    private = {
        "Cookie": "sessionid=1",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Anything": "1",
        "Forwarded": "for=1",
        "Via": "1.1 x",
        "X-Real-IP": "10.0.0.1",
        "X-Original-URL": "/admin",
        "Proxy-Authorization": "Basic eDp5",
        "Connection": "close, X-Hop",
        "X-Hop": "1",
        "TE": "trailers",
        "Upgrade": "websocket",
        "Keep-Alive": "5",
        "Referer": "http://127.0.0.1:8001/",
        "Expect": "100-continue",
    }
    assert caller.get(f"{path}/x", headers={**private, "X-Mine": "stays"}).status == 200
    headers = upstream.requests[0].headers
    assert headers.pop("x-mine") == "stays"
    assert set(headers) == {"host", "accept-encoding", "user-agent", "authorization"}
    assert headers["host"] == f"127.0.0.1:{upstream.port}"


def test_response_cannot_act_as_a_page_of_this_host(caller, path):
    response = caller.get(f"{path}/status?code=200&Content-Security-Policy=x&Alt-Svc=h3")
    assert response.header("Content-Security-Policy") == "sandbox; default-src 'none'"
    assert response.header("X-Content-Type-Options") == "nosniff"
    assert response.header("Alt-Svc") is None


def test_use_is_recorded(caller, path, row):
    caller.send("POST", f"{path}/status/ch_3Nabc/refunds?code=402&email=a@b.example", b"secret")
    event = Event.objects.get(verb="credential.used")
    assert (event.target_id, event.account_id) == (row.id, row.account_id)
    assert event.actor.startswith("token:")
    assert event.detail is not None
    assert event.detail["ms"] >= 0
    assert {**event.detail, "ms": 0} == {
        "method": "POST",
        "path": "/status/*/refunds",
        "status": 402,
        "ms": 0,
    }


def test_use_updates_last_used_at(caller, path, row):
    assert not CredentialUse.objects.filter(credential=row).exists()
    caller.get(f"{path}/x")
    assert CredentialUse.objects.filter(credential=row).exists()


@pytest.mark.parametrize("target", ["/x%2fy", "/../x", "//x"])
def test_rejected_request_is_no_use(caller, path, row, upstream, target):
    assert caller.get(path + target).status == 400
    assert not CredentialUse.objects.filter(credential=row).exists()
    assert not Event.objects.filter(verb="credential.used").exists()
    assert upstream.requests == []


def test_unreachable_provider_is_502_and_recorded(caller, create_credential, settings, upstream):
    create_credential()
    caller.client._allow = frozenset()
    response = caller.get("/proxy/upstream/x")
    assert response.status == 502
    assert CredentialUse.objects.exists()
    assert Event.objects.filter(verb="credential.used", detail__status=502).count() == 1


@pytest.mark.parametrize(
    ("fails", "code"),
    [("limits.pause_credential", 429), ("record_evidence", 401)],
    ids=["pause", "evidence"],
)
def test_sent_request_is_recorded_if_a_later_step_fails(
    caller, path, upstream, monkeypatch, fails, code
):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(f"credentials.proxy.handler.{fails}", fail)
    response = caller.send("POST", f"{path}/status?code={code}&Retry-After=9")
    assert (response.status, response.json()["code"]) == (503, "audit_write_failed")
    assert response.header("Retry-After") is None
    assert len(upstream.requests) == 1
    assert Event.objects.filter(verb="credential.used", detail__status=503).count() == 1


def test_undecryptable_secret_is_409(caller, path, row, upstream, break_seal):
    break_seal(row)
    assert caller.get(f"{path}/x").status == 409
    assert upstream.requests == []


def test_missing_scope_is_403(caller, account, path, upstream):
    caller.token = make_token(account, "credentials:read")
    response = caller.get(f"{path}/x")
    assert (response.status, response.json()["missing_scope"]) == (403, "credentials:use")
    assert upstream.requests == []


def test_connections_are_reused(caller, path, upstream):
    for _ in range(5):
        caller.get(f"{path}/x")
    assert upstream.connections == 1


def test_use_takes_four_statements(caller, path, django_assert_num_queries):
    caller.get(f"{path}/status?code=200")
    with django_assert_num_queries(4):  # token, credential, last use, event
        caller.get(f"{path}/status?code=200")


def test_token_in_basic(caller, path, upstream):
    assert (
        caller.get(f"{path}/x", bearer=False, headers=basic_auth_header(caller.token)).status == 200
    )
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("target", "name"), [("/proxy/upheader/x", "X-Api-Key"), ("/proxy/upstream/x", "Authorization")]
)
def test_callers_token_is_not_forwarded(raw_caller, raw, target, name):
    given = {name: raw_caller.token if name == "X-Api-Key" else f"Bearer {raw_caller.token}"}
    assert raw_caller.get(target, bearer=False, headers=given).status == 200
    head = raw.heads[0]
    assert raw_caller.token.encode() not in head
    assert head.lower().count(b"\r\n" + name.lower().encode() + b":") == 1


def test_callers_own_key_is_replaced_by_the_credential(raw_caller, raw):
    assert raw_caller.get("/proxy/upheader/x", headers={"X-Api-Key": "mine"}).status == 200
    assert raw.heads[0].lower().count(b"\r\nx-api-key:") == 1


@pytest.mark.parametrize("announced", [10, 70_000])
def test_incomplete_body_is_not_sent_as_complete(raw_caller, raw, announced):
    response = raw_caller.send("POST", "/proxy/upstream/x", b"short", CONTENT_LENGTH=str(announced))
    assert response.status == 400
    assert raw.bodies == []
