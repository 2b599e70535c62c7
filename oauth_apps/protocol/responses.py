"""Responses of the authorization server: tokens, or an error, whatever it sends."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from django.utils.http import parse_http_date_safe

from common import datetimes
from egress import Response
from egress.headers import parse_retry_after
from oauth_apps.protocol.error_rules import (
    find_error_code,
    find_rule_error,
    names_dead_token,
    names_rejected_app,
)
from oauth_apps.protocol.errors import OAuth2Error, build_error, build_response_error
from oauth_apps.protocol.token_document import decode_token_document
from oauth_apps.protocol.types import TokenResponse, UnreadableBody
from providers import quirks
from providers.kinds import OAuth, Refresh
from vault.secret import Secret

MAX_TOKEN: Final = 16 * 1024
MIN_SECONDS: Final = 60
MAX_LIFETIME_SECONDS: Final = 10 * 365 * 24 * 3600
MAX_RETRY_AFTER: Final = 3600.0

# 2001-09-09. A smaller number in `expires_at` is no Unix time, but some other count.
_FIRST_UNIX_TIME: Final = 10**9

_TOKEN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_REFRESH_EXPIRES: Final = (
    "refresh_token_expires_in",
    "refresh_expires_in",
    "x_refresh_token_expires_in",
)


def parse_token_response(
    response: Response, oauth: OAuth, *, refreshing: bool = False
) -> TokenResponse:
    """Return the tokens in a token endpoint's response (RFC 6749 section 5.1).

    An `error` counts at any status, 200 too. Extra members are kept in `document`. If `refreshing`,
    the provider's own rules (`oauth.refresh.responses`) say first what a response means. Raises
    OAuth2Error and nothing else.
    """
    try:
        document = parse_document(response, oauth, refreshing=refreshing)
        return read_tokens(document, responded_at=get_response_time(response))
    except OAuth2Error as error:
        if error.code == "unreadable_answer":
            content_type = response.get_header("content-type") or ""
            error.unreadable = UnreadableBody(response.status, content_type, response.body)
        raise


def parse_document(
    response: Response, oauth: OAuth | None = None, *, refreshing: bool = False
) -> dict[str, Any]:
    """Return the object of a successful response, after the quirks of `oauth`.

    Raises OAuth2Error.
    """
    document = decode_document(response, oauth)
    refresh = oauth.refresh if oauth and refreshing else None
    if error := find_response_error(response, document, refresh=refresh):
        raise error
    if document is None:
        raise build_error("unreadable_answer")
    return document


def decode_document(response: Response, oauth: OAuth | None = None) -> dict[str, Any] | None:
    """Return the response's object, after the quirks of `oauth`; None if there is none."""
    document = decode_token_document(response)
    if document is None:
        return None
    for name in oauth.quirks if oauth else ():
        if name in quirks.TOKEN_RESPONSE:
            document = quirks.TOKEN_RESPONSE[name](document)
    return document


def find_response_error(
    response: Response, document: Mapping[str, Any] | None, *, refresh: Refresh | None = None
) -> OAuth2Error | None:
    """Return the error that a response is, or None for success without an `error` in its object.

    `refresh` has the provider's own rules, which decide first. Then a status that blames the
    provider (5xx, 429) or redirects (3xx) decides, whatever the body says.
    """
    retry_after = get_retry_after(response)
    if refresh and refresh.responses:
        # The rules quote the provider, so they read its response as it was before the quirks.
        quoted = decode_token_document(response)
        rules = refresh.responses
        if error := find_rule_error(response, quoted, rules, retry_after=retry_after):
            return error
    code = _BY_STATUS.get(response.status) or _BY_CLASS.get(response.status // 100)
    success = response.status // 100 == 2
    if code:
        return build_error(code, retry_after=retry_after)
    if success:
        name = document.get("error") if document else None
        if not name and refresh is not None and document and "access_token" not in document:
            # Some say in words alone that there are no tokens, with status 200.
            name = _explain_rejected_refresh(_BAD_REQUEST, None, document)
        return build_response_error(name, retry_after=retry_after) if name else None
    code = find_error_code(document or {})
    if code == "access_denied" and response.status == 401:
        # Authorization servers made by Auth0, Atlassian's for example, say this of a wrong client
        # secret (github.com/trufflesecurity/trufflehog, pkg/detectors/auth0oauth, read 2026-11-30).
        code = "invalid_client"
    if refresh is not None:
        code = _explain_rejected_refresh(response.status, code, document or {})
    return build_error(code or "unknown_error", retry_after=retry_after)


def _explain_rejected_refresh(
    status: int, code: str | None, document: Mapping[str, Any]
) -> str | None:
    """Return what the error code of a rejected refresh means, with the words of its message."""
    # RFC 6749 section 5.2 has no such code: no user is asked during a refresh.
    if code == "access_denied":
        code = None
    # `unauthorized_client` and `invalid_request` are also said of a single refresh token, and only
    # the message says which of the two is meant (Atlassian, Google, DeviantArt).
    is_ambiguous = code in (None, "unauthorized_client", "invalid_request", "invalid_token")
    if is_ambiguous and names_dead_token(status, document):
        return "invalid_grant"
    # Twitch: 403 with the message "invalid client secret" (github.com/nicklaw5/helix, read 2026-11-30).
    if code in (None, "invalid_request") and names_rejected_app(status, document):
        return "invalid_client"
    return code


def read_tokens(document: Mapping[str, Any], *, responded_at: float) -> TokenResponse:
    """Return the tokens in a decoded response. Raises TransientError if none of them can be used.

    Nothing else in the response is a reason to reject it: the provider may have replaced the grant
    by now, and these tokens are all that is left of it. A lifetime that is no number is unknown.
    `responded_at` is a Unix time, which an end of the lifetime is compared with.
    """
    access = _parse_token(document.get("access_token"))
    refresh = document.get("refresh_token")
    if access is None or (refresh and refresh is not True and _parse_token(refresh) is None):
        raise build_error("unreadable_answer")
    return TokenResponse(
        access_token=access,
        refresh_token=_parse_token(refresh),
        expires_in=_parse_lifetime(document, responded_at),
        refresh_expires_in=_parse_refresh_lifetime(document),
        scope=_parse_scope(document.get("scope")),
        # All are used as bearer tokens: a response cannot be asked for again because of a label.
        token_type="Bearer",  # noqa: S106  a type, no token
        document=document,
    )


def get_response_time(response: Response) -> float:
    """Return the Unix time of the response by the provider's clock, otherwise by this server's."""
    # Both ends of a lifetime that is given as a date are then measured by one clock.
    responded_at = parse_http_date_safe(response.get_header("date") or "")
    return time.time() if responded_at is None else responded_at


def get_retry_after(response: Response) -> float | None:
    """Return the seconds in Retry-After, an hour at most, or None."""
    return parse_retry_after(response.headers, maximum=MAX_RETRY_AFTER)


_BAD_REQUEST: Final = 400
_BY_STATUS: Final[Mapping[int, str]] = {
    408: "temporarily_unavailable",
    429: "rate_limited",
    503: "temporarily_unavailable",
}
_BY_CLASS: Final[Mapping[int, str]] = {3: "redirected", 5: "server_error"}


def _parse_token(value: object) -> Secret | None:
    content = value.strip() if isinstance(value, str) else ""
    if len(content) > MAX_TOKEN or not _TOKEN.fullmatch(content):
        return None
    return Secret(content)


def _parse_lifetime(document: Mapping[str, Any], responded_at: float) -> int | None:
    """Return `expires_in`, or the seconds until `expires_at` or `expires_on`; None if unknown.

    GitHub and Square send a date, Strava a Unix time, Microsoft's v1 endpoint `expires_on`.
    """
    seconds = _parse_seconds(document.get("expires_in"))
    for name in ("expires_at", "expires_on"):
        if seconds is None and (ends_at := _parse_timestamp(document.get(name))):
            seconds = int(ends_at - responded_at)
    return None if seconds is None else _clamp(seconds)


def _parse_timestamp(value: object) -> float | None:
    if date := datetimes.parse_rfc3339(value):
        return date.timestamp()
    seconds = _parse_number(value)
    return seconds if seconds is not None and _FIRST_UNIX_TIME < seconds < math.inf else None


def _parse_refresh_lifetime(document: Mapping[str, Any]) -> int | None:
    candidates = (_parse_seconds(document.get(name)) for name in _REFRESH_EXPIRES)
    seconds = next((each for each in candidates if each is not None), None)
    # Keycloak sends 0 for a refresh token that does not expire.
    return _clamp(seconds) if seconds is not None and seconds > 0 else None


def _parse_seconds(value: object) -> int | None:
    seconds = _parse_number(value)
    return None if seconds is None else int(min(max(seconds, -1), MAX_LIFETIME_SECONDS))


def _parse_number(value: object) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    # JSON's 1e999 is infinity here; the callers limit it.
    return float(value)


def _clamp(seconds: int) -> int:
    # A lifetime of 0 or less cannot be meant: the token was issued to be used.
    return min(seconds, MAX_LIFETIME_SECONDS) if seconds > 0 else MIN_SECONDS


def _parse_scope(value: object) -> str | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not value.isprintable():
        return None
    return value.strip() or None
