"""Malformed and hostile responses of a provider, which must not mislead any caller."""

from __future__ import annotations

import gzip

import pytest

from credentials.proxy import audit
from credentials.proxy.limits import ConcurrencySlots
from events.models import Event
from tests.credentials.proxy.conftest import KEY

TARGET = "/proxy/upstream/a/b"
HERE = "http://127.0.0.1:8001"


@pytest.fixture
def get_response(raw_caller, raw):
    """Return the response that a caller gets if the provider sends these header lines."""

    def response(*lines, status="200 OK", body=b"ok", target=TARGET, **more):
        length = [] if body is None else [f"Content-Length: {len(body)}"]
        head = "\r\n".join([f"HTTP/1.1 {status}", *lines, *length, "", ""])
        route = target.removeprefix("/proxy/").split("/")
        name = "api" if route[0] == "upbase" else route[1]
        raw.responses[name] = head.encode("latin-1") + (body or b"")
        return raw_caller.get(target, **more)

    return response


@pytest.mark.parametrize("length", [2, 200])
def test_length_is_removed_if_the_body_is_chunked(raw_caller, raw, length):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw.responses["a"] = head.encode() + b"6\r\nabcdef\r\n0\r\n\r\n"
    response = raw_caller.get(TARGET)
    assert (response.status, response.body) == (200, b"abcdef")
    assert response.header("Content-Length") is None


@pytest.mark.parametrize(
    "line",
    ["X-A: a\x01b", "X-A: a\x7fb", "X-A: a\rX-B: 1", "Content-Length: -1", "Transfer-Encoding: x"],
)
def test_invalid_headers_are_502(get_response, line):
    assert get_response(line, body=None).status == 502


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: " + "a" * 200_000 + "\r\n\r\n",
    ],
    ids=["upgrade", "two lengths", "unknown coding", "status", "no http", "endless"],
)
def test_invalid_status_line_is_502(raw_caller, raw, head):
    raw.responses["a"] = head.encode()
    assert raw_caller.get(TARGET).status == 502


def test_early_hints_are_skipped(raw_caller, raw):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3
    raw.responses["a"] = hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    response = raw_caller.get(TARGET)
    assert (response.status, response.body, response.header("Link")) == (200, b"ok", None)


def test_bytes_after_a_response_are_not_the_next_response(raw_caller, raw):
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    raw.responses["a"] = whole + b"ok" + whole + b"no"
    assert [raw_caller.get(TARGET).body for _ in range(3)] == [b"ok"] * 3


@pytest.mark.parametrize(
    "name", ["X-Accel-Redirect", "X-Accel-Buffering", "X-Sendfile", "CDN-Cache-Control"]
)
def test_instructions_to_the_server_in_front_are_removed(get_response, name):
    assert get_response(f"{name}: /internal/x").header(name) is None


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("", "no-store"),
        ("Cache-Control: public, max-age=60", "private, max-age=60"),
        ("Cache-Control: max-age=60, S-MaxAge=90", "private, max-age=60"),
        ("Cache-Control: private, max-age=60", "private, max-age=60"),
        ("Cache-Control: no-cache, no-store", "no-cache, no-store"),
        ('Cache-Control: private="set-cookie, x", max-age=60', "no-store"),
        ("Cache-Control: public\r\nCache-Control: max-age=1", "private, max-age=1"),
    ],
)
def test_cache_control_forbids_shared_caches(get_response, given, passed):
    response = get_response(*filter(None, [given]))
    assert [value for name, value in response.headers if name == "Cache-Control"] == [passed]


@pytest.mark.parametrize(
    ("location", "passed"),
    [
        ("/x?y#z", f"{HERE}/proxy/upstream/x?y#z"),
        ("x", f"{HERE}/proxy/upstream/a/x"),
        ("?x=1", f"{HERE}/proxy/upstream/a/b?x=1"),
        ("../../../v1/credentials", f"{HERE}/proxy/upstream/v1/credentials"),
        ("/../../v1/credentials", f"{HERE}/proxy/upstream/v1/credentials"),
        ("http://127.0.0.1:8001/v1/credentials/1", "about:blank"),
        ("//x@127.0.0.1:8001/v1/credentials/1", "about:blank"),
        ("http:/v1/credentials", "about:blank"),
        ("\\v1\\credentials", "about:blank"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("//[", "//["),
        ("mailto:a@b.example", "mailto:a@b.example"),
    ],
)
def test_no_url_leads_to_another_path_of_this_host(get_response, location, passed):
    response = get_response(f"Location: {location}", status="307 Temporary Redirect")
    assert response.header("Location") == passed


@pytest.mark.parametrize(
    ("address", "passed"),
    [
        (" mailto:a@b.example ", "mailto:a@b.example"),
        ("\tjava\tscript:x", "javascript:x"),
        (" http:/v1/credentials", "about:blank"),
        ("ht\ttp:/v1/credentials", "about:blank"),
        (" x", f"{HERE}/proxy/upstream/a/x"),
        ("/\t/127.0.0.1:8001/v1/credentials", "about:blank"),
    ],
)
def test_whitespace_that_clients_strip_hides_no_url(get_response, address, passed):
    response = get_response(f"Link: <{address}>")
    assert (response.status, response.header("Link")) == (200, f"<{passed}>")


def test_relative_url_above_the_base_stays_at_the_provider(get_response, raw):
    response = get_response("Location: /v1/credentials", target="/proxy/upbase/x")
    assert response.header("Location") == f"http://127.0.0.1:{raw.port}/v1/credentials"


@pytest.mark.parametrize("dots", ["/..", "/%2e%2e", "/.%2E;x"])
def test_url_with_dot_segments_is_not_rewritten(get_response, raw, dots):
    address = f"http://127.0.0.1:{raw.port}{dots}/v1/credentials"
    assert get_response(f"Location: {address}").header("Location") == address


def test_secret_in_a_url_is_masked(get_response):
    response = get_response(f"Location: /x?key={KEY}", f'Link: </y?{KEY}>; rel="next"')
    assert KEY not in str(response.headers)
    assert Event.objects.filter(verb="credential.secret_echoed").count() == 1


def test_body_in_a_wrong_encoding_is_no_echo(get_response):
    response = get_response("Content-Encoding: gzip", body=b"plain text", target=TARGET)
    assert response.error is not None
    assert not Event.objects.filter(verb="credential.secret_echoed").exists()


@pytest.mark.parametrize("lines", [[], ["Content-Encoding: gzip"]], ids=["plain", "gzip"])
def test_echo_is_withheld_if_its_event_cannot_be_stored(get_response, monkeypatch, lines):
    def fails(**_):
        raise OSError

    monkeypatch.setattr(audit, "record_echo", fails)
    body = f"it is {KEY}".encode()
    response = get_response(*lines, body=gzip.compress(body) if lines else body)
    assert response.error is not None
    assert response.body == b""


@pytest.fixture
def slots(monkeypatch):
    """The slots of all proxies that are created from here on."""
    made = []

    class Watched(ConcurrencySlots):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setattr("credentials.proxy.handler.ConcurrencySlots", Watched)
    return made


def test_broken_responses_release_their_slots(slots, get_response):
    for line in ("X-A: a\x01b", "Transfer-Encoding: x", "Content-Encoding: br"):
        assert get_response(line, body=None).status == 502
    assert get_response("Content-Encoding: gzip", body=b"no").error is not None
    assert [dict(each._used) for each in slots] == [{}]


def test_response_that_the_server_cannot_start_is_closed(slots, raw_caller, raw):
    def start(status, headers):
        raise ValueError("no head")

    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": TARGET,
        "HTTP_HOST": "127.0.0.1:8001",
        "HTTP_AUTHORIZATION": f"Bearer {raw_caller.token}",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": None,
    }
    with pytest.raises(ValueError, match="no head") as failure:
        raw_caller._proxy(environ, start)
    assert (
        failure.traceback
    )  # It keeps the frames alive, so nothing is released by their end alone.
    assert [dict(each._used) for each in slots] == [{}]
