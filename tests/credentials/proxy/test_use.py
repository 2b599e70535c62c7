"""A request goes on with the credential, and its answer comes back."""

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
    answer = caller.get(f"{path}/echo/charges?limit=3&a=%20b")
    assert answer.status == 200
    request = upstream.requests[0]
    assert (request.method, request.target) == ("GET", "/echo/charges?limit=3&a=%20b")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert caller.token not in json.dumps(request.headers)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_passes_with_its_body(caller, path, upstream, method):
    sent = {"Content-Type": "application/json", "Idempotency-Key": "k-1"}
    assert caller.send(method, f"{path}/x", b'{"a": 1}', headers=sent).status == 200
    request = upstream.requests[0]
    assert (request.method, request.body) == (method, b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "k-1"


def test_a_body_in_chunks_goes_on_in_chunks(caller, path, upstream):
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
def test_it_is_put_where_the_provider_wants_it(caller, keep, upstream, kind, name, value):
    row = keep(kind, key=KEY)
    assert caller.get(f"/v1/proxy/credential/{row.id}/x").status == 200
    assert upstream.requests[0].headers[name] == value


def test_it_is_put_into_the_query(caller, keep, upstream):
    row = keep("upquery_key", key=f"{KEY}&=")
    caller.get(f"/v1/proxy/credential/{row.id}/x?a=1")
    caller.get(f"/v1/proxy/credential/{row.id}/y")
    assert [request.target for request in upstream.requests] == [
        f"/x?a=1&api_key={KEY}%26%3D",
        f"/y?api_key={KEY}%26%3D",
    ]


def test_a_parameter_that_is_the_credentials_is_refused(caller, keep, upstream):
    row = keep("upquery_key", key=KEY)
    assert caller.get(f"/v1/proxy/credential/{row.id}/x?API_KEY=1").status == 400
    assert upstream.requests == []


def test_a_base_url_with_a_path_comes_first(caller, keep, upstream):
    keep("upbase_key", key=KEY)
    caller.get("/proxy/upbase/things?x")
    assert upstream.requests[0].target == "/api/v2/things?x"


def test_the_newest_of_a_provider_is_used(caller, keep, upstream):
    keep(key="older_key_00000000")
    keep(key="newer_key_11111111")
    assert caller.get("/proxy/upstream/x").status == 200
    assert upstream.requests[0].headers["authorization"] == "Bearer newer_key_11111111"


@pytest.mark.parametrize("service", ["nobody", "custom", "custom.unknown", "upheader"])
def test_a_service_without_a_credential_is_400_in_one_line(caller, row, service):
    answer = caller.get(f"/proxy/{service}/x")
    assert answer.status == 400
    assert list(answer.json()) == ["error"]


def test_another_accounts_credential_is_not_there(caller, path, upstream):
    caller.token = make_token(make_account())
    unknown = caller.get(f"{path.rpartition('/')[0]}/01989aa0-0000-7000-8000-000000000000/x")
    found = caller.get(f"{path}/x")
    assert (found.status, unknown.status, upstream.requests) == (404, 404, [])
    assert {**found.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


def test_head_has_no_body_and_its_length(caller, path):
    answer = caller.send("HEAD", f"{path}/echo")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.header("Content-Length") or 0) > 0


@pytest.mark.parametrize("status", [204, 304, 301, 418, 429, 500, 599])
def test_a_status_passes_as_it_is(caller, path, status):
    answer = caller.get(f"{path}/status?code={status}")
    assert answer.status == status
    assert answer.error is None
    assert answer.body == (b"" if status in {204, 304} else b"a body")


def test_a_compressed_answer_stays_compressed(caller, path, upstream):
    asked = {"Accept-Encoding": "br, gzip;q=0.8, zstd"}
    answer = caller.get(f"{path}/gzip", headers=asked)
    assert answer.header("Content-Encoding") == "gzip"
    assert answer.body[:2] == b"\x1f\x8b"
    assert len(answer.body) == int(answer.header("Content-Length"))
    assert upstream.requests[0].headers["accept-encoding"] == "gzip"


def test_a_redirect_is_not_followed_and_leads_here(caller, path, upstream):
    answer = caller.get(f"{path}/redirect")
    assert answer.status == 302
    assert answer.header("Location") == f"http://127.0.0.1:8001{path}/echo?moved=1"
    assert len(upstream.requests) == 1


def test_a_redirect_elsewhere_is_left_to_the_caller(caller, path, upstream):
    elsewhere = "http://169.254.169.254/latest/meta-data/"
    answer = caller.get(f"{path}/redirect?to={elsewhere}")
    assert answer.header("Location") == elsewhere
    assert len(upstream.requests) == 1


def test_links_lead_here_and_cookies_do_not_pass(caller, row):
    answer = caller.get("/proxy/upstream/links")
    assert answer.header("Link") == (
        '<http://127.0.0.1:8001/proxy/upstream/links?page=2>; rel="next",'
        ' <https://elsewhere.example/x>; rel="help"'
    )
    for gone in ("Set-Cookie", "WWW-Authenticate", "Connection", "X-Private"):
        assert answer.header(gone) is None


def test_what_is_about_the_caller_stays_here(caller, path, upstream):
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


def test_an_answer_cannot_act_in_this_hosts_name(caller, path):
    answer = caller.get(f"{path}/status?code=200&Content-Security-Policy=x&Alt-Svc=h3")
    assert answer.header("Content-Security-Policy") == "sandbox; default-src 'none'"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Alt-Svc") is None


def test_a_use_is_an_event(caller, path, row):
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


def test_a_use_is_the_last_use(caller, path, row):
    assert not CredentialUse.objects.filter(credential=row).exists()
    caller.get(f"{path}/x")
    assert CredentialUse.objects.filter(credential=row).exists()


@pytest.mark.parametrize("target", ["/x%2fy", "/../x", "//x"])
def test_what_is_refused_is_no_use(caller, path, row, upstream, target):
    assert caller.get(path + target).status == 400
    assert not CredentialUse.objects.filter(credential=row).exists()
    assert not Event.objects.filter(verb="credential.used").exists()
    assert upstream.requests == []


def test_a_provider_that_cannot_be_reached_is_502_and_a_use(caller, keep, settings, upstream):
    keep()
    caller.client._allow = frozenset()
    answer = caller.get("/proxy/upstream/x")
    assert answer.status == 502
    assert CredentialUse.objects.exists()
    assert Event.objects.filter(verb="credential.used", detail__status=502).count() == 1


@pytest.mark.parametrize(
    ("fails", "code"),
    [("limits.pause_credential", 429), ("record_evidence", 401)],
    ids=["pause", "evidence"],
)
def test_what_went_out_is_written_down_whatever_fails_after_it(
    caller, path, upstream, monkeypatch, fails, code
):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(f"credentials.proxy.handler.{fails}", fail)
    answer = caller.send("POST", f"{path}/status?code={code}&Retry-After=9")
    assert (answer.status, answer.json()["code"]) == (503, "audit_write_failed")
    assert answer.header("Retry-After") is None
    assert len(upstream.requests) == 1
    assert Event.objects.filter(verb="credential.used", detail__status=503).count() == 1


def test_a_seal_that_does_not_open_is_409(caller, path, row, upstream, break_seal):
    break_seal(row)
    assert caller.get(f"{path}/x").status == 409
    assert upstream.requests == []


def test_a_disabled_scope_is_403(caller, account, path, upstream):
    caller.token = make_token(account, "credentials:read")
    answer = caller.get(f"{path}/x")
    assert (answer.status, answer.json()["missing_scope"]) == (403, "credentials:use")
    assert upstream.requests == []


def test_connections_to_one_provider_are_used_again(caller, path, upstream):
    for _ in range(5):
        caller.get(f"{path}/x")
    assert upstream.connections == 1


def test_a_use_takes_four_statements(caller, path, django_assert_num_queries):
    caller.get(f"{path}/status?code=200")
    with django_assert_num_queries(4):  # token, credential, last use, event
        caller.get(f"{path}/status?code=200")


def test_the_shape_of_basic(caller, path, upstream):
    assert (
        caller.get(f"{path}/x", bearer=False, headers=basic_auth_header(caller.token)).status == 200
    )
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("target", "name"), [("/proxy/upheader/x", "X-Api-Key"), ("/proxy/upstream/x", "Authorization")]
)
def test_the_callers_token_goes_no_further(asking, raw, target, name):
    given = {name: asking.token if name == "X-Api-Key" else f"Bearer {asking.token}"}
    assert asking.get(target, bearer=False, headers=given).status == 200
    head = raw.heads[0]
    assert asking.token.encode() not in head
    assert head.lower().count(b"\r\n" + name.lower().encode() + b":") == 1


def test_the_callers_own_key_does_not_stand_beside_the_credential(asking, raw):
    assert asking.get("/proxy/upheader/x", headers={"X-Api-Key": "mine"}).status == 200
    assert raw.heads[0].lower().count(b"\r\nx-api-key:") == 1


@pytest.mark.parametrize("announced", [10, 70_000])
def test_a_body_that_ends_early_is_not_sent_as_a_whole_one(asking, raw, announced):
    answer = asking.send("POST", "/proxy/upstream/x", b"short", CONTENT_LENGTH=str(announced))
    assert answer.status == 400
    assert raw.bodies == []
