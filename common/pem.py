"""PEM keys in the forms in which people have them, to the canonical one (RFC 7468)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import textwrap
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

_ARMOR: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----", re.ASCII)
_BLANK: Final = re.compile(r"\s+")
_PRIVATE_LABELS: Final = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"})
_LONGEST: Final = 32_768
_QUOTES: Final = "\"'`"


def has_armor(text: str) -> bool:
    """Return True if the text has the first line of a PEM block, in any form."""
    return "-----BEGIN " in text


def normalize_private_key(text: str) -> str:
    """Return an unencrypted private key as PEM with lines of 64 characters and LF.

    Accepts escaped line breaks, one line, quotes, CRLF, indentation, a block that is encoded in
    base64 once more, and the base64 of the DER without armor. PKCS #1 and SEC 1 keep their form,
    all others become PKCS #8. Raises ValueError with a reason that never quotes the key.
    """
    if len(text) > _LONGEST:
        raise ValueError("is too long for a private key")
    body = _unwrap(text)
    block = _ARMOR.search(body)
    if block is None:
        if has_armor(body):
            raise ValueError("is a PEM block without its end: a part of it is missing")
        return _normalize_bare(body)
    label, content = block[1], block[2]
    if "ENCRYPTED" in label or "ENCRYPTED" in content:
        raise ValueError("is encrypted with a passphrase; decrypt it first")
    if label not in _PRIVATE_LABELS:
        raise ValueError(f"must be a private key, and this is a {label.lower()}")
    lines = textwrap.wrap(_BLANK.sub("", content), 64)
    pem = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
    try:
        load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's message may quote the key.
        raise ValueError("is a private key that cannot be read: it is damaged or cut") from None
    return pem


def repair_pem(text: str) -> str:
    """Return a PEM block with LF in place of escaped line breaks and CRLF. Other text stays."""
    body = _unwrap(text)
    return f"{body.strip()}\n" if _ARMOR.search(body) else text


def generate_private_key() -> str:
    """Return a new P-256 key as PEM, for samples: providers issue the keys of real apps."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _unwrap(text: str) -> str:
    """Undo what shells, JSON, YAML and base64 do to a block of several lines."""
    body = text.strip().strip(_QUOTES).strip()
    if not has_armor(body) and (decoded := _decode_base64(body)) and b"-----BEGIN " in decoded:
        body = decoded.decode("ascii", "replace").strip()
    for escaped in ("\\r\\n", "\\n", "\\r", "\r\n", "\r"):
        body = body.replace(escaped, "\n")
    return body


def _normalize_bare(body: str) -> str:
    """Return the key of which only the base64 between the armor lines was given."""
    der = _decode_base64(body)
    if der is None:
        raise ValueError("must be a private key in PEM form")
    try:
        key = load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = "must be a private key in PEM form"
        with contextlib.suppress(ValueError, UnsupportedAlgorithm):
            load_der_public_key(der)
            reason = "must be a private key, and this is a public key"
        raise ValueError(reason) from None
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode("ascii")


def _decode_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(_BLANK.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        return None
