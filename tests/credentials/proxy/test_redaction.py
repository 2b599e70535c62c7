"""A secret that a provider sends back does not reach the caller."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from urllib.parse import quote

import pytest

from credentials.proxy.redaction import (
    InspectingFilter,
    MaskingFilter,
    SecretEchoedError,
    SecretForms,
)
from events.models import Event
from tests.credentials.proxy.conftest import KEY

SECRET = 's3cr3t/+=ünd &"more"_0123456789'


def mask_in_chunks(data: bytes, size: int, secret: str = SECRET) -> bytes:
    masking = MaskingFilter(SecretForms([secret]))
    pieces = [masking.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*pieces, masking.flush()])


def encode_secret(form: str) -> bytes:
    raw = SECRET.encode()
    return {
        "plain": raw,
        "json": json.dumps(SECRET)[1:-1].encode(),
        "base64": base64.b64encode(raw),
        "base64 after one": base64.b64encode(b"x" + raw + b"yz"),
        "base64 after two": base64.urlsafe_b64encode(b"xy" + raw + b"yz"),
        "percent": quote(SECRET, safe="").encode(),
        "percent in lower case": quote(SECRET, safe="").lower().encode(),
        "hex": raw.hex().encode(),
    }[form]


FORMS = ["plain", "json", "base64", "base64 after one", "base64 after two", "percent", "hex"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_secret_is_masked_in_every_form_across_chunks(form, size):
    data = b'{"a": "' + encode_secret(form) + b'", "b": 1}'
    found = mask_in_chunks(data, size)
    assert len(found) == len(data)
    assert found.startswith(b'{"a": "')
    assert found.endswith(b'", "b": 1}')
    assert found.count(b"*") > len(encode_secret(form)) * 0.8


@pytest.mark.parametrize("size", [1, 3, 100])
def test_text_that_only_begins_like_a_secret_is_kept(size):
    data = (SECRET[:12] + "no " + SECRET[:-1]).encode()
    assert mask_in_chunks(data, size) == data


def test_only_a_possible_start_waits():
    assert MaskingFilter(SecretForms(["zzzzzzzzzz"])).feed(b"data: 1\n\n") == b"data: 1\n\n"


def test_short_secret_is_not_masked():
    assert mask_in_chunks(b"abc abc", 2, "abc") == b"abc abc"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_body_with_a_secret_is_broken_off(encoding):
    squeeze = gzip.compress if encoding == "gzip" else zlib.compress
    for text, found in ((b"nothing " * 1000, False), (b"x" * 5000 + SECRET.encode(), True)):
        looking, data, passed = (
            InspectingFilter(SecretForms([SECRET]), encoding),
            squeeze(text),
            b"",
        )
        try:
            for at in range(0, len(data), 10):
                passed += looking.feed(data[at : at + 10])
        except SecretEchoedError:
            assert found
            assert len(passed) < len(data)
        else:
            assert passed == data


def test_body_in_a_wrong_encoding_is_broken_off():
    with pytest.raises(SecretEchoedError):
        InspectingFilter(SecretForms([SECRET]), "gzip").feed(
            b"plain text with it: " + SECRET.encode()
        )


@pytest.mark.parametrize("form", ["plain", "base64", "percent", "header", "chunks"])
def test_echo_is_masked_and_recorded(caller, path, row, form):
    response = caller.get(f"{path}/secret?form={form}")
    assert response.status == 200
    said = response.body + json.dumps(response.headers).encode()
    assert KEY.encode() not in said
    assert response.body.count(b"*") > 20 or form == "header"
    event = Event.objects.get(verb="credential.secret_echoed")
    assert (event.target_id, event.detail) == (row.id, {"path": "/secret"})


def test_echo_in_a_compressed_response_breaks_it_off(caller, path):
    response = caller.get(f"{path}/secret?form=gzip", headers={"Accept-Encoding": "gzip"})
    assert response.error is not None
    assert Event.objects.filter(verb="credential.secret_echoed").exists()


def test_response_without_echo_records_no_event(caller, path):
    caller.get(f"{path}/status?code=200")
    assert not Event.objects.filter(verb="credential.secret_echoed").exists()
