"""JSON Web Tokens as assertions, signed with a private key (RFC 7515, RFC 7523)."""

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

_LIFETIME_SECONDS: Final = 300
_CLOCK_SKEW: Final = 60
_MIN_RSA_BITS: Final = 2048


def sign_client_assertion(*, client_id: str, key: Secret, audience: str) -> Secret:
    """Return the client's assertion about itself, for one request (RFC 7523 §3)."""
    return sign_assertion(issuer=client_id, subject=client_id, audience=audience, key=key)


def sign_assertion(
    *,
    issuer: str,
    key: Secret,
    subject: str | None = None,
    audience: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> Secret:
    """Return a JWT that `key` signs, valid for five minutes, with a unique `jti`.

    `claims` are added, but do not replace the standard ones. Raises AppError for a key that cannot
    sign.
    """
    now = int(time.time())
    standard = {"iss": issuer, "sub": subject, "aud": audience, "jti": secrets.token_urlsafe(16)}
    # Issued a minute ago, because the provider's clock may be behind.
    times = {"iat": now - _CLOCK_SKEW, "exp": now + _LIFETIME_SECONDS}
    present = {name: value for name, value in standard.items() if value is not None}
    return sign_jwt({**(claims or {}), **present, **times}, key=key)


def sign_jwt(claims: Mapping[str, Any], *, key: Secret) -> Secret:
    """Return `claims` in compact form, signed with RS256 or ES256 according to the key's type.

    `key` is an unencrypted PEM private key: RSA of 2,048 bits or more (RFC 7518 §3.3), or P-256.
    Raises AppError (invalid_key) for anything else.
    """
    private = _load_key(key)
    header = {"alg": "RS256" if isinstance(private, RSAPrivateKey) else "ES256", "typ": "JWT"}
    signed = f"{_base64url(orjson.dumps(header))}.{_base64url(orjson.dumps(dict(claims)))}"
    if isinstance(private, RSAPrivateKey):
        signature = private.sign(signed.encode("ascii"), PKCS1v15(), SHA256())
    else:
        # JWS has the two numbers one after the other, not as DER (RFC 7518 §3.4).
        r, s = decode_dss_signature(private.sign(signed.encode("ascii"), ECDSA(SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return Secret(f"{signed}.{_base64url(signature)}")


def _load_key(key: Secret) -> RSAPrivateKey | EllipticCurvePrivateKey:
    try:
        private = load_pem_private_key(key.expose().encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None  # Raised below, because the library's message may quote the key.
    if private is None:
        raise _build_key_error("is not an unencrypted private key in PEM form")
    if isinstance(private, RSAPrivateKey) and private.key_size >= _MIN_RSA_BITS:
        return private
    if isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
        return private
    raise _build_key_error("is neither RSA of 2,048 bits or more nor P-256")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _build_key_error(reason: str) -> AppError:
    return AppError("invalid_key", f"The app's private key {reason}.", sent=False)
