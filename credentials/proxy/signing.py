"""Requests that are signed instead of carrying a key."""

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
# …/market-data-endpoints, read 2026-11-21: these take no signature and refuse parameters they do not know.
_PUBLIC: Final = re.compile(
    r"/api/v3/(?:ping|time|exchangeInfo|depth|trades|historicalTrades|aggTrades|klines|uiKlines"
    r"|avgPrice|ticker(?:/[A-Za-z0-9]+)?)"
)
_OURS: Final = frozenset({"timestamp", "signature"})
_FORM: Final = "application/x-www-form-urlencoded"


class SignedRequest(NamedTuple):
    """A request's headers for the signature, and its query. `drop_body`: the query has it."""

    headers: tuple[tuple[str, str], ...]
    query: str | None
    drop_body: bool = False


def is_public_endpoint(scheme: str | None, method: str, path: str) -> bool:
    """Whether the request is one that takes no credential, so that none is opened for it."""
    return scheme == BINANCE and method == "GET" and bool(_PUBLIC.fullmatch(path))


def sign_binance_request(
    opened: Mapping[str, str], query: str | None, body: object, content_type: str
) -> SignedRequest:
    """All parameters in the query, with our time and the HMAC over them, in place of the caller's.

    A form is moved to the query, where it may stand as well; any other body, or one too large to be
    held, is BadRequest. So is a parameter that is there twice.
    """
    pairs = _pairs(query or "")
    if body:
        if not isinstance(body, bytes) or content_type.partition(";")[0].strip().lower() != _FORM:
            raise BadRequestError(
                "Signed requests take their parameters in the query or in a form."
            )
        pairs += _pairs(body.decode("latin-1"))
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise BadRequestError("A signed request has a parameter twice.")
    kept = tuple(pair for pair in pairs if pair[0] not in _OURS)
    moment = int(db_now().timestamp() * 1000)
    made = sign_binance(opened, kept, timestamp_ms=moment)
    return SignedRequest(made.headers, urlencode(made.query), drop_body=bool(body))


class OAuth1Keys(NamedTuple):
    """The four values of a token-based request, and the realm that it names."""

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
    """RFC 5849's Authorization header with HMAC-SHA256, for a `url` with its query.

    Parameters of a form body are not signed: such a body is not sent by these APIs.
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
    given = [*fields.items(), *_pairs(query)]
    normal = "&".join(f"{n}={v}" for n, v in sorted((_escape(n), _escape(v)) for n, v in given))
    text = "&".join(_escape(part) for part in (method.upper(), base, normal))
    key = f"{_escape(keys.consumer_secret)}&{_escape(keys.token_secret)}"
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    fields["oauth_signature"] = base64.b64encode(digest).decode()
    parts = [f'realm="{_escape(keys.realm)}"']
    parts += [f'{name}="{_escape(value)}"' for name, value in sorted(fields.items())]
    return SignedRequest((("Authorization", f"OAuth {', '.join(parts)}"),), query or None)


def build_oauth1_keys(
    properties: Mapping[str, object], opened: Mapping[str, str], client_id: str, client_secret: str
) -> OAuth1Keys:
    """NetSuite's: its realm is the account in upper case with underscores. Raises Conflict."""
    values = {**{name: str(value) for name, value in properties.items()}, **opened}
    if not client_id or not client_secret:
        raise ConflictError(
            "The credential has no OAuth app with a secret, which its requests need."
        )
    return OAuth1Keys(
        consumer_key=client_id,
        consumer_secret=client_secret,
        token=fill_template("{token_id}", values),
        token_secret=fill_template("{token_secret}", values),
        realm=fill_template("{account}", values).replace("-", "_").upper(),
    )


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True, separator="&")


def _escape(text: str) -> str:
    return quote(text, safe="~")
