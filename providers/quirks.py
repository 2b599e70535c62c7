"""Quirks: pure functions for providers that differ from OAuth 2.0 in more than names.

A provider file's `oauth.quirks` lists names of the four tables below, one for each step of the
protocol. A function receives what the standard would send, or what was received, and returns it
changed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

Parameters = Mapping[str, str]
TokenRequest = tuple[dict[str, str], dict[str, str]]
"""The fields of a token request, and its headers."""

# `signature` is the older form of `hmac`.
_UNSIGNED: Final = frozenset({"hmac", "signature"})
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


def normalize_slack_response(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return Slack's token response in the shape of RFC 6749.

    Its errors have status 200 and `ok: false`; they get the names of §5.2 if there is one with the
    same meaning. A user's token is inside `authed_user`; a bot's token, if there is one, stays the
    token. `team` is the organization if the app was installed for all of it.
    https://docs.slack.dev/reference/methods/oauth.v2.access
    """
    if response.get("ok") is False:
        error = str(response.get("error"))
        return {"error": _SLACK_ERRORS.get(error, error)}
    user = response.get("authed_user")
    own = user if isinstance(user, Mapping) and "access_token" not in response else {}
    # An app that was installed for a whole organization has no workspace.
    enterprise = response.get("enterprise")
    team = response.get("team") or (enterprise if isinstance(enterprise, Mapping) else None)
    # Slack's `token_type` says who owns the token; all are used as bearer tokens.
    return {**response, "team": team, **own, "token_type": "Bearer"}


def add_basecamp_type(fields: Parameters, headers: Parameters) -> TokenRequest:
    """Return a refresh request with the `type` that Basecamp requires in it.

    https://github.com/basecamp/api/blob/master/sections/authentication.md
    """
    if fields.get("grant_type") != "refresh_token":
        return dict(fields), dict(headers)
    return {**fields, "type": "refresh"}, dict(headers)


def verify_shopify_callback(params: Parameters, secret: str) -> bool:
    """Return whether the callback's `hmac` is that of its other parameters, with the app's secret.

    https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/authorization-code-grant
    """
    others = sorted((name, text) for name, text in params.items() if name not in _UNSIGNED)
    message = urlencode(others).encode("ascii")
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), params.get("hmac", "").encode())


AUTHORIZATION_REQUEST: Final[Mapping[str, Callable[[Parameters], dict[str, str]]]] = {}
"""Functions that change the parameters of the authorization request."""

TOKEN_REQUEST: Final[Mapping[str, Callable[[Parameters, Parameters], TokenRequest]]] = {
    "basecamp_refresh": add_basecamp_type,
}
"""Functions that change the fields and headers of a request to the token endpoint."""

TOKEN_RESPONSE: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "slack_answer": normalize_slack_response,
}
"""Functions that change a decoded token response to the shape of RFC 6749 §5.1 or §5.2."""

CALLBACK: Final[Mapping[str, Callable[[Parameters, str], bool]]] = {
    "shopify_hmac": verify_shopify_callback,
}
"""Functions that verify the parameters of an authorization response with a client secret."""

NAMES: Final = frozenset({*AUTHORIZATION_REQUEST, *TOKEN_REQUEST, *TOKEN_RESPONSE, *CALLBACK})
