"""The caller's Latchkey token, in whichever header their client puts a key."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from accounts import token_format
from accounts.authentication import BearerAuthentication
from common.actors import Principal
from common.errors import BadRequestError, ForbiddenError, UnauthenticatedError
from common.scopes import CREDENTIALS_USE

_TOKEN: Final = re.compile(r"lk_(?:sess_)?[0-9A-Za-z]{36}(?![0-9A-Za-z])", re.ASCII)
_BASIC: Final = re.compile(r"Basic ([A-Za-z0-9+/_-]+=*)", re.ASCII | re.IGNORECASE)
_NOT_ONE: Final = "The token must be in exactly one header, beside which there is no Authorization."


class CallerToken(NamedTuple):
    """A token, and the header (lower case) that it was in."""

    header: str
    token: str


class _Asking:
    """What `BearerAuthentication` looks at of a request."""

    def __init__(self, token: str, request_id: str, client_ip: str | None) -> None:
        self.META = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        self.request_id = request_id
        self.client_ip = client_ip


def find_token(environ: Mapping[str, Any], raw_target: str) -> CallerToken:
    """The one token of the request: `Authorization: Bearer`, either half of Basic, or another header.

    Whether that other header is the provider's own is known later (`check_header`). Raises
    Unauthenticated without one; BadRequest for several, or for one in the target.
    """
    if _TOKEN.search(raw_target):
        raise BadRequestError(
            "A token must not be in the request target: change it, it was logged."
        )
    found = [
        CallerToken(key[5:].replace("_", "-").lower(), token)
        for key, value in environ.items()
        if key.startswith("HTTP_")
        for token in _tokens(key, str(value))
    ]
    if not found:
        raise UnauthenticatedError(
            "A token is required: as bearer, in Basic, or as the provider's key."
        )
    if len(found) > 1 or (found[0].header != "authorization" and environ.get("HTTP_AUTHORIZATION")):
        raise BadRequestError(_NOT_ONE)
    return found[0]


def authenticate_caller(held: CallerToken, *, request_id: str, client_ip: str | None) -> Principal:
    """The caller. Raises Unauthenticated, or Forbidden without the scope credentials:use."""
    asking: Any = _Asking(held.token, request_id, client_ip)
    found = BearerAuthentication().authenticate(asking)
    if found is None:
        raise UnauthenticatedError("A token is required.")
    principal = found[0]
    if CREDENTIALS_USE not in principal.scopes:
        raise ForbiddenError(
            f"This needs a token with the scope {CREDENTIALS_USE}.",
            extra={"missing_scope": CREDENTIALS_USE},
        )
    return principal


def check_token_header(held: CallerToken, own: frozenset[str]) -> None:
    """Raise Unauthenticated where the token was in a header that neither HTTP nor the provider has for keys."""
    if held.header not in {"authorization", *own}:
        raise UnauthenticatedError(
            f"The header {held.header} is not where this provider has its key."
        )


def _tokens(key: str, value: str) -> list[str]:
    basic = _BASIC.fullmatch(value) if key == "HTTP_AUTHORIZATION" else None
    text = _decoded(basic[1]) if basic else value
    return [token for token in _TOKEN.findall(text) if token_format.detect_token_type(token)]


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_").decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
