"""A provider that answers wrongly, or what it should not: no caller takes it for something else."""

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
def answered(asking, raw):
    """The caller's view of an answer with these lines in its head."""

    def answer(*lines, status="200 OK", body=b"ok", target=TARGET, **more):
        length = [] if body is None else [f"Content-Length: {len(body)}"]
        head = "\r\n".join([f"HTTP/1.1 {status}", *lines, *length, "", ""])
        route = target.removeprefix("/proxy/").split("/")
        name = "api" if route[0] == "upbase" else route[1]
        raw.responses[name] = head.encode("latin-1") + (body or b"")
        return asking.get(target, **more)

    return answer


@pytest.mark.parametrize("length", [2, 200])
def test_a_length_beside_chunks_is_not_passed_on(asking, raw, length):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw.responses["a"] = head.encode() + b"6\r\nabcdef\r\n0\r\n\r\n"
    answer = asking.get(TARGET)
    assert (answer.status, answer.body) == (200, b"abcdef")
    assert answer.header("Content-Length") is None


@pytest.mark.parametrize(
    "line",
    ["X-A: a\x01b", "X-A: a\x7fb", "X-A: a\rX-B: 1", "Content-Length: -1", "Transfer-Encoding: x"],
)
def test_a_head_that_is_none_is_502(answered, line):
    assert answered(line, body=None).status == 502


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
def test_what_is_no_answer_is_502(asking, raw, head):
    raw.responses["a"] = head.encode()
    assert asking.get(TARGET).status == 502


def test_early_hints_are_not_taken_for_the_answer(asking, raw):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3
    raw.responses["a"] = hints + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    answer = asking.get(TARGET)
    assert (answer.status, answer.body, answer.header("Link")) == (200, b"ok", None)


def test_bytes_after_an_answer_are_not_the_next_one(asking, raw):
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    raw.responses["a"] = whole + b"ok" + whole + b"no"
    assert [asking.get(TARGET).body for _ in range(3)] == [b"ok"] * 3


@pytest.mark.parametrize(
    "name", ["X-Accel-Redirect", "X-Accel-Buffering", "X-Sendfile", "CDN-Cache-Control"]
)
def test_an_order_to_the_server_in_front_of_us_does_not_pass(answered, name):
    assert answered(f"{name}: /internal/x").header(name) is None


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
def test_no_cache_that_callers_share_keeps_an_answer(answered, given, passed):
    answer = answered(*filter(None, [given]))
    assert [value for name, value in answer.headers if name == "Cache-Control"] == [passed]


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
def test_no_address_leads_to_another_of_our_paths(answered, location, passed):
    answer = answered(f"Location: {location}", status="307 Temporary Redirect")
    assert answer.header("Location") == passed


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
def test_blanks_that_clients_take_away_hide_no_address(answered, address, passed):
    answer = answered(f"Link: <{address}>")
    assert (answer.status, answer.header("Link")) == (200, f"<{passed}>")


def test_a_relative_address_above_the_base_is_the_providers(answered, raw):
    answer = answered("Location: /v1/credentials", target="/proxy/upbase/x")
    assert answer.header("Location") == f"http://127.0.0.1:{raw.port}/v1/credentials"


@pytest.mark.parametrize("dots", ["/..", "/%2e%2e", "/.%2E;x"])
def test_an_address_with_dots_is_not_made_ours(answered, raw, dots):
    address = f"http://127.0.0.1:{raw.port}{dots}/v1/credentials"
    assert answered(f"Location: {address}").header("Location") == address


def test_a_secret_in_an_address_is_masked(answered):
    answer = answered(f"Location: /x?key={KEY}", f'Link: </y?{KEY}>; rel="next"')
    assert KEY not in str(answer.headers)
    assert Event.objects.filter(verb="credential.secret_echoed").count() == 1


def test_a_body_that_is_not_compressed_as_it_says_is_no_echo(answered):
    answer = answered("Content-Encoding: gzip", body=b"plain text", target=TARGET)
    assert answer.error is not None
    assert not Event.objects.filter(verb="credential.secret_echoed").exists()


@pytest.mark.parametrize("lines", [[], ["Content-Encoding: gzip"]], ids=["plain", "gzip"])
def test_an_echo_that_cannot_be_written_down_does_not_pass(answered, monkeypatch, lines):
    def fails(**_):
        raise OSError

    monkeypatch.setattr(audit, "record_echo", fails)
    body = f"it is {KEY}".encode()
    answer = answered(*lines, body=gzip.compress(body) if lines else body)
    assert answer.error is not None
    assert answer.body == b""


@pytest.fixture
def slots(monkeypatch):
    """Those of all proxies that are made from here on."""
    made = []

    class Watched(ConcurrencySlots):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setattr("credentials.proxy.handler.ConcurrencySlots", Watched)
    return made


def test_no_broken_answer_keeps_a_slot(slots, answered):
    for line in ("X-A: a\x01b", "Transfer-Encoding: x", "Content-Encoding: br"):
        assert answered(line, body=None).status == 502
    assert answered("Content-Encoding: gzip", body=b"no").error is not None
    assert [dict(each._used) for each in slots] == [{}]


def test_an_answer_that_the_server_cannot_begin_is_given_up(slots, asking, raw):
    def start(status, headers):
        raise ValueError("no head")

    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": TARGET,
        "HTTP_HOST": "127.0.0.1:8001",
        "HTTP_AUTHORIZATION": f"Bearer {asking.token}",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": None,
    }
    with pytest.raises(ValueError, match="no head") as failure:
        asking._proxy(environ, start)
    assert failure.traceback  # It holds on to the frames: nothing is given up by their end alone.
    assert [dict(each._used) for each in slots] == [{}]
