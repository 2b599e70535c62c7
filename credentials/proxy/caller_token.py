"""The caller's Latchkey token, in the header in which their client sends a key."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final, NamedTuple

from accounts import token_format
from accounts.authentication import BearerAuthentication
from common.actors import Principal
from common.errors import BadRequestError, ForbiddenError, UnauthenticatedError
from common.scopes import CREDENTIALS_USE
from credentials.proxy.headers import Environ

_TOKEN: Final = re.compile(r"lk_(?:sess_)?[0-9A-Za-z]{36}(?![0-9A-Za-z])", re.ASCII)
_BASIC: Final = re.compile(r"Basic ([A-Za-z0-9+/_-]+=*)", re.ASCII | re.IGNORECASE)


class CallerToken(NamedTuple):
    """A token, and the header (lower case) that it was sent in."""

    header: str
    token: str


def find_token(environ: Environ, raw_target: str) -> CallerToken:
    """Return the token: from `Authorization: Bearer`, from either half of Basic, or another header.

    Only later is it known if another header is the provider's own (`check_token_header`). Raises
    UnauthenticatedError without a token, BadRequestError for several, or for one in the target.
    """
    if _TOKEN.search(raw_target):
        raise BadRequestError(
            "A token must not be in the request target, because targets are logged. Replace it."
        )
    tokens = [
        CallerToken(key.removeprefix("HTTP_").replace("_", "-").lower(), token)
        for key, value in environ.items()
        if key.startswith("HTTP_")
        for token in _find_tokens(key, str(value))
    ]
    if not tokens:
        raise UnauthenticatedError(
            "A token is required: as bearer, in Basic, or as the provider's key."
        )
    in_other_header = tokens[0].header != "authorization"
    # A second Authorization could be read instead of the token's header by something in between.
    if len(tokens) > 1 or (in_other_header and environ.get("HTTP_AUTHORIZATION")):
        raise BadRequestError(
            "The token must be in exactly one header, without an Authorization header in addition."
        )
    return tokens[0]


class _TokenRequest:
    """The attributes of a request that BearerAuthentication reads."""

    def __init__(self, token: str, request_id: str, client_ip: str | None) -> None:
        self.META = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        self.request_id = request_id
        self.client_ip = client_ip


def authenticate_caller(token: CallerToken, *, request_id: str, client_ip: str | None) -> Principal:
    """Return the caller.

    Raises UnauthenticatedError, or ForbiddenError without the scope credentials:use.
    """
    request: Any = _TokenRequest(token.token, request_id, client_ip)
    result = BearerAuthentication().authenticate(request)
    if result is None:
        raise UnauthenticatedError("A token is required.")
    principal = result[0]
    if CREDENTIALS_USE not in principal.scopes:
        raise ForbiddenError(
            f"This needs a token with the scope {CREDENTIALS_USE}.",
            extra={"missing_scope": CREDENTIALS_USE},
        )
    return principal


def check_token_header(token: CallerToken, key_headers: frozenset[str]) -> None:
    """Raise UnauthenticatedError if neither HTTP nor the provider expects a key in the header."""
    if token.header not in {"authorization", *key_headers}:
        raise UnauthenticatedError(
            f"This provider does not expect its key in the header {token.header}."
        )


def _find_tokens(key: str, value: str) -> list[str]:
    basic = _BASIC.fullmatch(value) if key == "HTTP_AUTHORIZATION" else None
    if basic:
        padded = basic[1] + "=" * (-len(basic[1]) % 4)
        try:
            value = base64.b64decode(padded, altchars=b"-_").decode("latin-1")
        except (binascii.Error, ValueError):
            return []
    return [token for token in _TOKEN.findall(value) if token_format.detect_token_type(token)]
