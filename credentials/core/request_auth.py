"""How a credential is put on a request: what the provider's file says, filled with its values."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from common.errors import ConflictError
from providers.kinds import Auth, Kind
from providers.url_templates import PLACEHOLDER

_HEADER: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

NameValuePairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RequestAuth:
    """The headers and the query parameters that authenticate a request. Secret: its repr shows nothing."""

    headers: NameValuePairs = ()
    query: NameValuePairs = ()


def build_request_auth(
    kind: Kind, properties: Mapping[str, Any], secrets: Mapping[str, str]
) -> RequestAuth:
    """Return what authenticates a request with a credential of `kind`.

    `properties` are the shown ones, `secrets` the real values; for kinds that refresh, these have
    the fresh `access_token`. Raises Conflict where the credential lacks a value that the provider
    needs, or holds one that no header can carry; for kinds whose requests are signed use `sign`.
    """
    auth = kind.auth
    if auth is None or auth.place not in _PLACES:
        raise ConflictError(f"Requests of the kind {kind.name} are not authenticated by a header.")
    values = {**properties, **secrets}
    return _PLACES[auth.place](auth, values)


def build_custom_request_auth(*, auth_header: str, prefix: str, key: str) -> RequestAuth:
    """As `inject`, for a custom service: its row says the header."""
    return RequestAuth(headers=((auth_header, _sendable(f"{prefix}{key}")),))


def sign_binance(
    secrets: Mapping[str, str], query: NameValuePairs, *, timestamp_ms: int
) -> RequestAuth:
    """Binance's HMAC over the whole query, which it replaces.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security, read
    2026-11-21. Raises Conflict where a key is missing or cannot be sent.
    """
    signed = (*query, ("timestamp", str(timestamp_ms)))
    key, secret = fill_template("{api_key}", secrets), fill_template("{api_secret}", secrets)
    digest = hmac.new(secret.encode(), urlencode(signed).encode(), hashlib.sha256).hexdigest()
    return RequestAuth(
        headers=(("X-MBX-APIKEY", _sendable(key)),), query=(*signed, ("signature", digest))
    )


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    """`template` with its `{names}` from `values`. Raises Conflict naming one that is absent."""

    def value(found: re.Match[str]) -> str:
        held = values.get(found[1])
        if held is None or held == "":
            raise ConflictError(f"The credential has no {found[1]}, which its requests need.")
        return str(held)

    return PLACEHOLDER.sub(value, template)


def _headers(auth: Auth, values: Mapping[str, Any]) -> RequestAuth:
    filled = ((name, _sendable(fill_template(part, values))) for name, part in auth.values.items())
    return RequestAuth(headers=tuple(filled))


def _query(auth: Auth, values: Mapping[str, Any]) -> RequestAuth:
    return RequestAuth(
        query=tuple((name, fill_template(part, values)) for name, part in auth.values.items())
    )


def _basic(auth: Auth, values: Mapping[str, Any]) -> RequestAuth:
    """RFC 7617, in UTF-8. The first colon ends the user name, so one within would make it another."""
    username, password = (
        fill_template(auth.values[name], values) for name in ("username", "password")
    )
    if ":" in username:
        raise ConflictError("The credential's user name has a colon, which Basic cannot carry.")
    token = base64.b64encode(f"{username}:{password}".encode()).decode()
    return RequestAuth(headers=(("Authorization", f"Basic {token}"),))


_PLACES: Final = {"header": _headers, "query": _query, "basic": _basic}


def _sendable(value: str) -> str:
    if not _HEADER.fullmatch(value) or value != value.strip(" \t"):
        raise ConflictError("The credential holds a character that no request can carry.")
    return value
