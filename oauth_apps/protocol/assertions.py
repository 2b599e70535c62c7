"""JSON Web Tokens that say who asks, signed with a private key (RFC 7515, RFC 7523)."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from oauth_apps.protocol.errors import AppError
from vault.secret import Secret

_SECONDS: Final = 300
_SKEW: Final = 60
_RSA_BITS: Final = 2048


def sign_client_assertion(*, client_id: str, key: Secret, audience: str) -> Secret:
    """The client's assertion about itself, for one request (RFC 7523 §3)."""
    return sign_assertion(issuer=client_id, subject=client_id, audience=audience, key=key)


def sign_assertion(
    *,
    issuer: str,
    key: Secret,
    subject: str | None = None,
    audience: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> Secret:
    """A JWT that `key` signs, valid for five minutes and never twice the same (`jti`).

    It begins a minute ago, as clocks differ. `claims` are added, and lose against ours. Raises
    AppError for a key that cannot sign.
    """
    now = int(time.time())
    ours = {"iss": issuer, "sub": subject, "aud": audience, "jti": secrets.token_urlsafe(16)}
    times = {"iat": now - _SKEW, "exp": now + _SECONDS}
    present = {name: value for name, value in ours.items() if value is not None}
    return sign_jwt({**(claims or {}), **present, **times}, key=key)


def sign_jwt(claims: Mapping[str, Any], *, key: Secret) -> Secret:
    """`claims` in compact form, signed as the key's type says: RS256 or ES256.

    `key` is an unencrypted PEM private key: RSA of 2,048 bits or more (RFC 7518 §3.3), or P-256.
    Raises AppError (invalid_key) for anything else.
    """
    private = _loaded(key)
    header = {"alg": "RS256" if isinstance(private, RSAPrivateKey) else "ES256", "typ": "JWT"}
    signed = f"{_base64url(orjson.dumps(header))}.{_base64url(orjson.dumps(dict(claims)))}"
    return Secret(f"{signed}.{_base64url(_signature(private, signed.encode('ascii')))}")


def _loaded(key: Secret) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        private = load_pem_private_key(key.expose().encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None  # Raised below: the library's text may quote the key.
    if private is None:
        raise _unfit("is not an unencrypted private key in PEM form")
    if isinstance(private, RSAPrivateKey) and private.key_size >= _RSA_BITS:
        return private
    if isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
        return private
    raise _unfit("is neither RSA of 2,048 bits or more nor P-256")


def _signature(private: RSAPrivateKey | EllipticCurvePrivateKey, signed: bytes) -> bytes:
    if isinstance(private, RSAPrivateKey):
        return private.sign(signed, PKCS1v15(), SHA256())
    # JWS has the two numbers side by side, not as DER (RFC 7518 §3.4).
    r, s = decode_dss_signature(private.sign(signed, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unfit(fault: str) -> AppError:
    return AppError("invalid_key", f"The app's private key {fault}.", sent=False)
