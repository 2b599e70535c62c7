"""The authentication of upstream requests: the template of the provider's file, filled with secrets."""

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
from providers.kinds import Kind
from providers.url_templates import PLACEHOLDER

_HEADER: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

NameValuePairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RequestAuth:
    """The headers and query parameters that authenticate a request. Its repr shows no secret."""

    headers: NameValuePairs = ()
    query: NameValuePairs = ()


def build_request_auth(
    kind: Kind, properties: Mapping[str, Any], secrets: Mapping[str, str]
) -> RequestAuth:
    """Return the authentication of a request with a credential of `kind`.

    `properties` are the public ones, `secrets` the real values, with a fresh `access_token` for kinds
    that refresh. Raises ConflictError if a value is missing, or cannot be sent in a header. Kinds
    whose requests are signed have functions of their own.
    """
    values = {**properties, **secrets}
    auth = kind.auth
    if auth is not None and auth.place == "header":
        filled = [(name, fill_template(part, values)) for name, part in auth.values.items()]
        return RequestAuth(headers=tuple((name, _check_header(value)) for name, value in filled))
    if auth is not None and auth.place == "query":
        filled = [(name, fill_template(part, values)) for name, part in auth.values.items()]
        return RequestAuth(query=tuple(filled))
    if auth is not None and auth.place == "basic":
        names = ("username", "password")
        username, password = (fill_template(auth.values[name], values) for name in names)
        # The first colon ends the user name, so that one within it would name another user.
        if ":" in username:
            raise ConflictError("The credential's user name has a colon, which Basic cannot carry.")
        # RFC 7617, in UTF-8.
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        return RequestAuth(headers=(("Authorization", f"Basic {token}"),))
    raise ConflictError(f"Requests of the kind {kind.name} are not authenticated by a header.")


def build_custom_request_auth(*, auth_header: str, prefix: str, key: str) -> RequestAuth:
    """Return the authentication for a custom service, whose row names the header."""
    return RequestAuth(headers=((auth_header, _check_header(f"{prefix}{key}")),))


def sign_binance(
    secrets: Mapping[str, str], query: NameValuePairs, *, timestamp_ms: int
) -> RequestAuth:
    """Return the key and Binance's HMAC over the whole query. The result replaces `query`.

    https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security, read
    2026-11-21. Raises ConflictError if a key is missing or cannot be sent.
    """
    signed = (*query, ("timestamp", str(timestamp_ms)))
    key, secret = fill_template("{api_key}", secrets), fill_template("{api_secret}", secrets)
    digest = hmac.new(secret.encode(), urlencode(signed).encode(), hashlib.sha256).hexdigest()
    return RequestAuth(
        headers=(("X-MBX-APIKEY", _check_header(key)),), query=(*signed, ("signature", digest))
    )


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    """Return `template` with its `{names}` replaced. Raises ConflictError if a value is missing."""

    def get_value(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None or value == "":
            raise ConflictError(f"The credential has no {match[1]}, which its requests need.")
        return str(value)

    return PLACEHOLDER.sub(get_value, template)


def _check_header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value != value.strip(" \t"):
        raise ConflictError("The credential has a character that no request can carry.")
    return value
