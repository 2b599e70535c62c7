"""Assertions: signed JSON Web Tokens."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oauth_apps.protocol import AppError, request_client_credentials_token, request_jwt_bearer_token
from oauth_apps.protocol.assertions import sign_assertion, sign_jwt
from tests.oauth_apps.protocol.keys import ec_key, pem, rsa_key
from tests.oauth_apps.protocol.provider import build_token_reply
from vault.secret import Secret

NOW = 1_795_000_000
PUBLIC = (
    ec_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
)


def decode(part: str) -> bytes:
    assert "=" not in part
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def parts(token: Secret | str) -> tuple[dict[str, str], dict[str, object], bytes, bytes]:
    """Return header, claims, signed bytes and signature."""
    text = token if isinstance(token, str) else token.expose()
    head, body, signature = text.split(".")
    signed = f"{head}.{body}".encode()
    return json.loads(decode(head)), json.loads(decode(body)), signed, decode(signature)


def verify_rs256(signed: bytes, signature: bytes) -> None:
    rsa_key().public_key().verify(signature, signed, padding.PKCS1v15(), SHA256())


def verify_es256(signed: bytes, signature: bytes) -> None:
    assert len(signature) == 64
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    der = utils.encode_dss_signature(r, s)
    ec_key().public_key().verify(der, signed, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    ("key", "algorithm", "verify"),
    [
        (pem(rsa_key()), "RS256", verify_rs256),
        (pem(rsa_key(), old=True), "RS256", verify_rs256),
        (pem(ec_key()), "ES256", verify_es256),
    ],
    ids=["rsa", "rsa-old-form", "p-256"],
)
def test_signed_as_the_keys_type_says(key, algorithm, verify):
    header, claims, signed, signature = parts(sign_jwt({"iss": "me"}, key=Secret(key)))
    assert header == {"alg": algorithm, "typ": "JWT"}
    assert claims == {"iss": "me"}
    verify(signed, signature)
    with pytest.raises(InvalidSignature):
        verify(signed + b"x", signature)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "secret-1",
        "é",
        "-----BEGIN PRIVATE KEY-----\ncnrySecret\n-----END PRIVATE KEY-----\n",
        pem(rsa_key(1024)),
        pem(rsa_key(), password=b"words"),
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        PUBLIC,
    ],
    ids=["empty", "text", "not-ascii", "no-key", "short", "locked", "p-384", "ed25519", "public"],
)
def test_keys_that_cannot_sign(key):
    with pytest.raises(AppError) as caught:
        sign_jwt({}, key=Secret(key))
    assert (caught.value.code, caught.value.sent) == ("invalid_key", False)
    assert "cnrySecret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_claims(time_machine):
    time_machine.move_to(NOW, tick=False)
    more = {"scope": "a", "iss": "theirs"}
    held = sign_assertion(
        issuer="me", subject="you", audience="it", key=Secret(pem(ec_key())), claims=more
    )
    _, claims, _, _ = parts(held)
    assert len(str(claims.pop("jti"))) == 22
    assert claims == {
        "scope": "a", "iss": "me", "sub": "you", "aud": "it", "iat": NOW - 60, "exp": NOW + 300,
    }  # fmt: skip


def test_every_error_is_different():
    made = {sign_assertion(issuer="me", key=Secret(pem(ec_key()))).expose() for _ in range(5)}
    assert len(made) == 5


def test_private_key_jwt_at_the_token_endpoint(provider, make_client):
    provider.set_replies(build_token_reply())
    client = make_client(secrets=(pem(ec_key()),), client_auth="private_key_jwt")
    request_client_credentials_token(client, scopes=())
    sent = provider.only_request.form
    _, claims, signed, signature = parts(sent.pop("client_assertion"))
    verify_es256(signed, signature)
    assert sent == {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert (claims["iss"], claims["sub"]) == ("client-1", "client-1")
    assert claims["aud"] == provider.url("/token")


def test_the_jwt_bearer_grant(provider, make_client):
    provider.set_replies(build_token_reply())
    client = make_client(client_id="", secrets=())
    request_jwt_bearer_token(
        client,
        issuer="robot@example.com",
        subject="user@example.com",
        key=Secret(pem(rsa_key())),
        scopes=("a", "b"),
        claims={"extra": 1},
    )
    sent = provider.only_request.form
    _, claims, signed, signature = parts(sent.pop("assertion"))
    verify_rs256(signed, signature)
    assert sent == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "scope": "a b"}
    assert (claims["iss"], claims["sub"]) == ("robot@example.com", "user@example.com")
    assert (claims["aud"], claims["extra"]) == (provider.url("/token"), 1)


def test_the_jwt_bearer_grant_for_another_audience(provider, client):
    provider.set_replies(build_token_reply())
    key = Secret(pem(ec_key()))
    request_jwt_bearer_token(
        client, issuer="i", subject="s", key=key, audience="https://as.example/"
    )
    assert parts(provider.only_request.form["assertion"])[1]["aud"] == "https://as.example/"
    assert provider.only_request.form["client_secret"] == "secret-1"
