"""What the authorization server said: tokens, or an error. Nothing that it can send gets past this."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from common import datetimes, strict_json
from common.errors import BadRequestError
from egress import Response
from egress.retry_after import parse_retry_after
from oauth_apps.protocol.errors import OAuth2Error, build_error, build_response_error
from oauth_apps.protocol.types import TokenResponse
from providers import quirks
from providers.kinds import OAuth
from vault.secret import Secret

MAX_TOKEN: Final = 16 * 1024
MIN_SECONDS: Final = 60
MAX_LIFETIME_SECONDS: Final = 10 * 365 * 24 * 3600
MAX_RETRY_AFTER: Final = 3600.0

_TOKEN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
# All are used as bearer tokens; another type (DPoP, MAC) needs what we do not have. Many leave it out.
_BEARER: Final = frozenset({"", "bearer", "bearertoken", "token", "bot", "user"})
_REFRESH_EXPIRES: Final = (
    "refresh_token_expires_in",
    "refresh_expires_in",
    "x_refresh_token_expires_in",
)


def parse_token_response(response: Response, oauth: OAuth) -> TokenResponse:
    """The tokens in a token endpoint's answer (RFC 6749 §5.1). Raises ProtocolError, and nothing else.

    An `error` counts at any status, 200 too. Extra members are kept in `document`.
    """
    return read_tokens(parse_document(response, oauth))


def parse_document(response: Response, oauth: OAuth | None = None) -> dict[str, Any]:
    """The JSON object of a successful answer, after the quirks of `oauth`. Raises ProtocolError."""
    document = decode_document(response, oauth)
    if error := find_response_error(response, document):
        raise error
    if document is None:
        raise build_error("unreadable_answer")
    return document


def decode_document(response: Response, oauth: OAuth | None = None) -> dict[str, Any] | None:
    """The answer's JSON object, after the quirks of `oauth`; None if it is no such thing."""
    try:
        found = strict_json.loads(response.body)
    except BadRequestError:
        return None
    if not isinstance(found, dict):
        return None
    document: dict[str, Any] = found
    for name in oauth.quirks if oauth else ():
        if name in quirks.TOKEN_RESPONSE:
            document = quirks.TOKEN_RESPONSE[name](document)
    return document


def find_response_error(
    response: Response, document: Mapping[str, Any] | None
) -> OAuth2Error | None:
    """The error that an answer is; None for a status of success without an `error` in its object.

    Where a status blames the provider (5xx, 429) or leads elsewhere (3xx), the body has no say.
    """
    retry_after = get_retry_after(response)
    code = _BY_STATUS.get(response.status) or _BY_CLASS.get(response.status // 100)
    success = response.status // 100 == 2
    if code is None and document is None and not success:
        code = "unreadable_answer"
    if code:
        return build_error(code, retry_after=retry_after)
    error = document.get("error") if document else None
    return None if success and not error else build_response_error(error, retry_after=retry_after)


def read_tokens(document: Mapping[str, Any]) -> TokenResponse:
    """The tokens in a decoded answer. Raises TransientError where there is none that can be used.

    What is beside the tokens is never a reason to refuse them: the grant may have changed hands by
    now, and they are all that is left of it. A lifetime that is no number is an unknown one.
    """
    access = _token(document.get("access_token"))
    if access is None or not _is_bearer(document.get("token_type")):
        raise build_error("unreadable_answer")
    refresh = document.get("refresh_token")
    if refresh is not None and refresh != "" and _token(refresh) is None:
        raise build_error("unreadable_answer")
    return TokenResponse(
        access_token=access,
        refresh_token=_token(refresh),
        expires_in=_lifetime(document),
        refresh_expires_in=_refresh_lifetime(document),
        scope=_scope(document.get("scope")),
        token_type="Bearer",  # noqa: S106  a type, no token
        document=document,
    )


def get_retry_after(response: Response) -> float | None:
    """The seconds that its Retry-After asks for, an hour at most; None where it asks for none."""
    return parse_retry_after(response.headers, maximum=MAX_RETRY_AFTER)


_BY_STATUS: Final[Mapping[int, str]] = {429: "rate_limited", 503: "temporarily_unavailable"}
_BY_CLASS: Final[Mapping[int, str]] = {3: "redirected", 5: "server_error"}


def _token(value: Any) -> Secret | None:
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not _TOKEN.fullmatch(value):
        return None
    return Secret(value)


def _is_bearer(token_type: Any) -> bool:
    if isinstance(token_type, str):
        return token_type.lower() in _BEARER
    return token_type is None


def _lifetime(document: Mapping[str, Any]) -> int | None:
    """`expires_in`, else what is left until `expires_at` where that is a date (GitHub, Square)."""
    seconds = _seconds(document.get("expires_in"))
    if seconds is None and (moment := datetimes.parse_rfc3339(document.get("expires_at"))):
        seconds = int(moment.timestamp() - time.time())
    return None if seconds is None else _clamped(seconds)


def _refresh_lifetime(document: Mapping[str, Any]) -> int | None:
    """Keycloak says 0 of a refresh token that does not expire, so 0 is no lifetime."""
    found = (_seconds(document.get(name)) for name in _REFRESH_EXPIRES)
    seconds = next((each for each in found if each is not None), None)
    return _clamped(seconds) if seconds is not None and seconds > 0 else None


def _seconds(value: Any) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # The gate lets 1e999 through, which Python reads as infinity.
    return int(min(max(value, -1), MAX_LIFETIME_SECONDS))


def _clamped(seconds: int) -> int:
    return min(max(seconds, MIN_SECONDS), MAX_LIFETIME_SECONDS)


def _scope(value: Any) -> str | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not value.isprintable():
        return None
    return value.strip() or None
