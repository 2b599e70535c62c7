"""Private keys in the forms that shells, JSON, YAML and dashboards give them."""

from __future__ import annotations

import base64
import functools
import json
import textwrap
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from common.pem import normalize_private_key, repair_pem


@functools.cache
def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def make_pem(form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return make_key().private_bytes(Encoding.PEM, form, NoEncryption()).decode()


DRESSES: dict[str, Callable[[str], str]] = {
    "as it is": lambda pem: pem,
    "without its last line break": lambda pem: pem.rstrip("\n"),
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "CR": lambda pem: pem.replace("\n", "\r"),
    "escaped": lambda pem: pem.replace("\n", "\\n"),
    "escaped CRLF": lambda pem: pem.replace("\n", "\\r\\n"),
    "one line with spaces": lambda pem: pem.replace("\n", " "),
    "one line": lambda pem: pem.replace("\n", ""),
    "indented": lambda pem: textwrap.indent(pem, "    "),
    "quoted JSON": json.dumps,
    "single quotes": lambda pem: f"'{pem}'",
    "base64": lambda pem: base64.b64encode(pem.encode()).decode(),
    "without armor": lambda pem: "".join(pem.splitlines()[1:-1]),
    "text around it": lambda pem: f"Bag Attributes\n    friendlyName: app\n{pem}",
}


@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_of_a_key_is_one_key(dress):
    pem = make_pem()
    assert normalize_private_key(DRESSES[dress](pem)) == pem


def test_the_form_of_the_key_stays():
    pem = make_pem(PrivateFormat.TraditionalOpenSSL)
    assert normalize_private_key(pem.replace("\n", "\\n")) == pem


def make_encrypted() -> str:
    encryption = BestAvailableEncryption(b"passphrase")
    return make_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def make_public(encoding: Encoding) -> bytes:
    return make_key().public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_encrypted, "is encrypted with a passphrase; decrypt it first"),
        (
            lambda: make_public(Encoding.PEM).decode(),
            "must be a private key, and this is a public key",
        ),
        (
            lambda: base64.b64encode(make_public(Encoding.DER)).decode(),
            "must be a private key, and this is a public key",
        ),
        (lambda: "p" * 40, "must be a private key in PEM form"),
        (lambda: make_pem()[:100], "is a PEM block without its end: a part of it is missing"),
        (
            lambda: make_pem().replace(make_pem()[40:60], ""),
            "is a private key that cannot be read: it is damaged or cut",
        ),
        (lambda: "-----BEGIN " * 10_000, "is too long for a private key"),
    ],
)
def test_what_cannot_sign_is_rejected_with_its_reason(make, reason):
    with pytest.raises(ValueError, match=reason):
        normalize_private_key(make())


def test_a_block_in_another_secret_gets_its_lines_back():
    assert repair_pem(make_pem().replace("\n", "\\n")) == make_pem()


def test_other_text_stays():
    assert repair_pem("-----BEGIN nothing") == "-----BEGIN nothing"
