"""Token responses that no strict parser accepts: the tokens in them are kept."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress import Response
from oauth_apps.protocol.responses import parse_token_response
from oauth_apps.protocol.token_document import decode_token_document
from tests.oauth_apps.protocol.conftest import make_oauth
from vault.secret import Secret

NOW = dt.datetime(2026, 11, 18, 12, 26, 40, tzinfo=dt.UTC)
TOKENS = '{"access_token": "at", "refresh_token": "rt", "expires_in": 3600'
FORM = "application/x-www-form-urlencoded"


def respond(body: bytes, content_type: str | None = "application/json") -> Response:
    headers = (("content-type", content_type),) if content_type else ()
    return Response(200, headers, body)


BODIES = {
    "utf-8 byte order mark": b"\xef\xbb\xbf" + TOKENS.encode() + b"}",
    "utf-16": (TOKENS + "}").encode("utf-16"),
    "utf-16-be": b"\xfe\xff" + (TOKENS + "}").encode("utf-16-be"),
    "utf-32": (TOKENS + "}").encode("utf-32"),
    "a Latin-1 byte": TOKENS.encode() + b', "name": "Jos\xe9"}',
    "a duplicate name": TOKENS.encode() + b', "scope": "a", "scope": "b"}',
    "NaN": TOKENS.encode() + b', "x": NaN}',
    "Infinity": TOKENS.encode() + b', "x": -Infinity}',
    "a raw tab": TOKENS.encode() + b', "x": "a\tb"}',
    "a raw NUL": TOKENS.encode() + b', "x": "a\x00b"}',
    "a long integer": TOKENS.encode() + b', "x": ' + b"9" * 5000 + b"}",
    "blank lines before": b"\r\n\r\n" + TOKENS.encode() + b"}",
    "a second object after": TOKENS.encode() + b"} {}",
    "wrapped in data": b'{"code": 0, "data": ' + TOKENS.encode() + b"}}",
    "form encoding labelled as JSON": b"access_token=at&refresh_token=rt&expires_in=3600",
    "an odd token type": TOKENS.encode() + b', "token_type": "Bearer "}',
    "numbers as text": b'{"access_token": "at", "refresh_token": "rt", "expires_in": "3600.0"}',
    "white space around the tokens": (
        b'{"access_token": "at\\n", "refresh_token": " rt\\r\\n", "expires_in": 3600}'
    ),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("content_type", ["application/json", "text/html", None], ids=str)
def test_the_tokens_are_read(body, content_type):
    tokens = parse_token_response(respond(body, content_type), make_oauth())
    assert tokens.access_token == Secret("at")
    assert tokens.refresh_token == Secret("rt")
    assert tokens.expires_in == 3600


def test_the_last_of_two_names_wins():
    document = decode_token_document(respond(b'{"access_token": "old", "access_token": "new"}'))
    assert document == {"access_token": "new"}


@pytest.mark.parametrize("charset", ["iso-8859-1", "ISO-8859-15", "windows-1252"])
def test_the_declared_charset_is_used(charset):
    body = '{"access_token": "at", "name": "José"}'.encode(charset)
    document = decode_token_document(respond(body, f"application/json; charset={charset}"))
    assert document == {"access_token": "at", "name": "José"}


@pytest.mark.parametrize("charset", ["none", "utf8mb4", "base64", '"utf-8"'])
def test_unknown_charset_is_decoded_as_utf_8(charset):
    body = '{"access_token": "at", "name": "José"}'.encode()
    document = decode_token_document(respond(body, f"application/json; charset={charset}"))
    assert document == {"access_token": "at", "name": "José"}


def test_form_encoding_is_read_by_its_content_type():
    document = decode_token_document(respond(b"access_token=a%2Bt&scope=a+b&empty=", FORM))
    assert document == {"access_token": "a+t", "scope": "a b", "empty": ""}


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"null", b"[]", b"7", b'"x"', b"{", b"<html><a href='?a=b'></html>", b"\xff\xfe"],
    ids=repr,
)
def test_body_without_an_object_is_none(body):
    assert decode_token_document(respond(body)) is None


def test_deep_nesting_is_no_crash():
    deep = b'{"access_token": "at", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert decode_token_document(respond(deep)) is None


@given(body=st.binary(max_size=300), content_type=st.text(max_size=60))
def test_any_body_is_an_object_or_none(body, content_type):
    document = decode_token_document(respond(body, content_type))
    assert document is None or isinstance(document, dict)


@given(name=st.text(max_size=40), value=st.text(max_size=40))
def test_json_that_is_strict_is_read_as_it_is(name, value):
    document = {"access_token": "at", name: value}
    assert decode_token_document(respond(json.dumps(document).encode())) == document


@pytest.mark.parametrize("name", ["expires_at", "expires_on"])
@pytest.mark.parametrize("form", [int, str, float], ids=["int", "str", "float"])
def test_a_unix_time_is_a_lifetime(name, form, time_machine):
    time_machine.move_to(NOW, tick=False)
    ends = form(int(NOW.timestamp()) + 3600)
    body = json.dumps({"access_token": "at", name: ends}).encode()
    assert parse_token_response(respond(body), make_oauth()).expires_in == 3600


def test_a_small_number_is_no_unix_time():
    body = b'{"access_token": "at", "expires_at": 3600}'
    assert parse_token_response(respond(body), make_oauth()).expires_in is None
