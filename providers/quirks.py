"""Where a provider departs from OAuth 2.0 in more than names: pure functions, one file names them.

A provider file's `oauth.quirks` lists names of the three tables below; each table is one moment of
the protocol. A function takes what the standard would send or got, and returns it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Parameters = Mapping[str, str]
TokenRequest = tuple[dict[str, str], dict[str, str]]
"""The fields of a token request, and its headers."""

_SLACK_ERRORS: Final = {
    **dict.fromkeys(
        ("invalid_code", "code_already_used", "invalid_refresh_token"), "invalid_grant"
    ),
    **dict.fromkeys(("token_revoked", "token_expired", "account_inactive"), "invalid_grant"),
    **dict.fromkeys(("bad_client_secret", "invalid_client_id"), "invalid_client"),
    **dict.fromkeys(("bad_redirect_uri", "invalid_grant_type"), "invalid_request"),
    **dict.fromkeys(("ratelimited", "service_unavailable"), "temporarily_unavailable"),
    **dict.fromkeys(("internal_error", "fatal_error", "request_timeout"), "server_error"),
}


def normalize_slack_response(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Slack's answer has status 200 even when refused, and a user's own token inside `authed_user`.

    Its `ok: false` errors take the names of RFC 6749 §5.2 where they mean the same; a bot's token,
    if there is one, stays the token. `token_type` says whose it is; it is used as a bearer token.
    https://docs.slack.dev/reference/methods/oauth.v2.access
    """
    if answer.get("ok") is False:
        error = str(answer.get("error"))
        return {"error": _SLACK_ERRORS.get(error, error)}
    user = answer.get("authed_user")
    own = user if isinstance(user, Mapping) and "access_token" not in answer else {}
    return {**answer, **own, "token_type": "Bearer"}


def add_basecamp_type(fields: Parameters, headers: Parameters) -> TokenRequest:
    """Basecamp names the flow in `type`, which is another for a refresh than for a code.

    https://github.com/basecamp/api/blob/master/sections/authentication.md
    """
    if fields.get("grant_type") != "refresh_token":
        return dict(fields), dict(headers)
    return {**fields, "type": "refresh"}, dict(headers)


AUTHORIZATION_REQUEST: Final[Mapping[str, Callable[[Parameters], dict[str, str]]]] = {}
"""Changes the parameters of the authorization request."""

TOKEN_REQUEST: Final[Mapping[str, Callable[[Parameters, Parameters], TokenRequest]]] = {
    "basecamp_refresh": add_basecamp_type,
}
"""Changes the fields and the headers of a request to the token endpoint."""

TOKEN_RESPONSE: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "slack_answer": normalize_slack_response,
}
"""Changes the token endpoint's decoded answer to the shape of RFC 6749 §5.1 or §5.2."""

NAMES: Final = frozenset({*AUTHORIZATION_REQUEST, *TOKEN_REQUEST, *TOKEN_RESPONSE})
