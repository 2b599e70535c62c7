"""Signatures of requests, for providers that take no key in a header."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets as random
import time
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from common.db.clock import db_now
from common.errors import BadRequestError, ConflictError
from credentials.core.request_auth import fill_template, sign_binance

BINANCE: Final = "binance_hmac"
BINANCE_PART: Final = "binance_part_key"
OAUTH1: Final = "oauth1_hmac_sha256"

KEY_HEADERS: Final[Mapping[str, frozenset[str]]] = {
    BINANCE: frozenset({"x-mbx-apikey"}),
    OAUTH1: frozenset(),
}

# https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security and
# …/market-data-endpoints, read 2026-11-21: these take no signature and reject unknown parameters.
_PUBLIC_PATH: Final = re.compile(
    r"/api/v3/(?:ping|time|exchangeInfo|depth|trades|historicalTrades|aggTrades|klines|uiKlines"
    r"|avgPrice|ticker(?:/[A-Za-z0-9]+)?)"
)
_SIGNATURE_PARAMETERS: Final = frozenset({"timestamp", "signature"})
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


class SignedRequest(NamedTuple):
    """The headers and the query of a signed request. `drop_body`: the body moved to the query."""

    headers: tuple[tuple[str, str], ...]
    query: str | None
    drop_body: bool = False


def is_public_endpoint(scheme: str | None, method: str, path: str) -> bool:
    """Return whether the request needs no credential, so that none is decrypted for it."""
    return scheme == BINANCE and method == "GET" and bool(_PUBLIC_PATH.fullmatch(path))


def sign_binance_request(
    secrets: Mapping[str, str], query: str | None, body: object, content_type: str
) -> SignedRequest:
    """Return the query with all parameters, our time and the HMAC over them.

    Time and signature of the caller are replaced. A form moves to the query, which Binance reads as
    well. Raises BadRequestError for any other body, for one that is too large to be buffered, and
    for a parameter that is given twice.
    """
    pairs = _parse_query(query or "")
    if body:
        if (
            not isinstance(body, bytes)
            or content_type.partition(";")[0].strip().lower() != _FORM_TYPE
        ):
            raise BadRequestError(
                "A signed request must have its parameters in the query or in a form."
            )
        pairs += _parse_query(body.decode("latin-1"))
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise BadRequestError("A parameter of a signed request is given twice.")
    kept = tuple(pair for pair in pairs if pair[0] not in _SIGNATURE_PARAMETERS)
    # Binance rejects a time that is too far from its own, so the caller's clock is not used.
    timestamp = int(db_now().timestamp() * 1000)
    auth = sign_binance(secrets, kept, timestamp_ms=timestamp)
    return SignedRequest(auth.headers, urlencode(auth.query), drop_body=bool(body))


class OAuth1Keys(NamedTuple):
    """The four keys of a token-based request, and its realm."""

    consumer_key: str
    consumer_secret: str
    token: str
    token_secret: str
    realm: str


def sign_oauth1_request(
    keys: OAuth1Keys,
    method: str,
    url: str,
    *,
    nonce: str | None = None,
    timestamp: int | None = None,
) -> SignedRequest:
    """Return RFC 5849's Authorization header with HMAC-SHA256. `url` includes the query.

    Parameters of a form body are not signed, because these APIs take no such body.
    https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/section_1534941295.html, read 2026-11-21.
    """
    base, _, query = url.partition("?")
    fields = {
        "oauth_consumer_key": keys.consumer_key,
        "oauth_nonce": nonce or random.token_hex(16),
        "oauth_signature_method": "HMAC-SHA256",
        "oauth_timestamp": str(int(time.time()) if timestamp is None else timestamp),
        "oauth_token": keys.token,
        "oauth_version": "1.0",
    }
    parameters = sorted(
        (_escape(name), _escape(value)) for name, value in [*fields.items(), *_parse_query(query)]
    )
    normalized = "&".join(f"{name}={value}" for name, value in parameters)
    text = "&".join(_escape(part) for part in (method.upper(), base, normalized))
    key = f"{_escape(keys.consumer_secret)}&{_escape(keys.token_secret)}"
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    fields["oauth_signature"] = base64.b64encode(digest).decode()
    parts = [f'realm="{_escape(keys.realm)}"']
    parts += [f'{name}="{_escape(value)}"' for name, value in sorted(fields.items())]
    return SignedRequest((("Authorization", f"OAuth {', '.join(parts)}"),), query or None)


def build_oauth1_keys(
    properties: Mapping[str, object], secrets: Mapping[str, str], client_id: str, client_secret: str
) -> OAuth1Keys:
    """Return the keys of NetSuite. Raises ConflictError if one is missing."""
    values = {**{name: str(value) for name, value in properties.items()}, **secrets}
    if not client_id or not client_secret:
        raise ConflictError(
            "The credential has no OAuth app with a secret, which its requests need."
        )
    return OAuth1Keys(
        consumer_key=client_id,
        consumer_secret=client_secret,
        token=fill_template("{token_id}", values),
        token_secret=fill_template("{token_secret}", values),
        # NetSuite's realm is the account id in upper case with underscores.
        realm=fill_template("{account}", values).replace("-", "_").upper(),
    )


def _parse_query(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True, separator="&")


def _escape(text: str) -> str:
    return quote(text, safe="~")
