"""The errors of the protocol: their codes, and whether the user or the app must act.

A provider's `error_description` is never repeated, nor an `error` that is not in the tables: some
providers echo the request, and with it a secret. `code` is one of the names below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from oauth_apps.protocol.types import UnreadableBody


class OAuth2Error(Exception):
    """There are no tokens.

    `detail` is a sentence for customers and logs, without a secret or a provider's words.
    `retry_after` is in seconds, an hour at most, if the provider gave it. `sent` is False only if no
    byte of any request can have left; then the grant has not changed. `unreadable` is the body of a
    successful response that could not be read, which is secret.
    """

    unreadable: UnreadableBody | None = None

    def __init__(
        self, code: str, detail: str, *, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.sent = sent


class UserError(OAuth2Error):
    """The grant has ended or was rejected. It is final: only the user can grant it again."""


class AppError(OAuth2Error):
    """The OAuth app or its configuration is wrong. It says nothing about the user's grant."""


class TransientError(OAuth2Error):
    """The cause is unknown or temporary: try again. It blames neither the user nor the app."""


ErrorMeaning = tuple[type[OAuth2Error], str]

MEANINGS: Final[Mapping[str, ErrorMeaning]] = {
    "invalid_grant": (UserError, "The provider says that the grant is expired, revoked or used."),
    "access_denied": (UserError, "The provider says that access was denied."),
    "interaction_required": (UserError, "The provider wants the user to log in or consent again."),
    "invalid_client": (AppError, "The provider does not accept the app's client id and secret."),
    "unauthorized_client": (AppError, "The provider does not let this app use this grant."),
    "redirect_uri_mismatch": (AppError, "The redirect URI is not the one that the app registered."),
    "unsupported_grant_type": (AppError, "The provider does not offer this grant to the app."),
    "unsupported_response_type": (AppError, "The provider does not offer codes to the app."),
    "invalid_scope": (AppError, "The provider does not grant these scopes to the app."),
    "invalid_target": (AppError, "The provider does not know the requested resource or audience."),
    "app_rejected": (AppError, "The provider says that the app or its configuration is wrong."),
    "app_suspended": (AppError, "The provider says that the app is suspended or deleted."),
    "invalid_request": (TransientError, "The provider calls the request malformed."),
    "invalid_token": (TransientError, "The provider does not know the token."),
    "unsupported_token_type": (TransientError, "The provider does not revoke this type of token."),
    "server_error": (TransientError, "The provider had an error of its own."),
    "temporarily_unavailable": (TransientError, "The provider is unavailable for now."),
    "rate_limited": (TransientError, "The provider asks for fewer requests."),
    "redirected": (
        TransientError,
        "The provider responded with a redirect, which is not followed.",
    ),
    "unreadable_answer": (TransientError, "The provider's response could not be read."),
    "unknown_error": (TransientError, "The provider rejected the request without a known reason."),
}
"""The class and sentence of each code: RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 8707 §2.

Codes without an RFC are Latchkey's own. `invalid_request` is a TransientError, because some
providers mean one user's token with it and some the app, and pausing a whole app because of one
token would be the worse mistake.
"""

# Other names for these codes:
# OpenID Connect Core §3.1.2.6 (login, consent, interaction), RFC 8628 §3.5 (slow_down),
# https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps (GitHub's), read 2026-11-21.
_SYNONYMS: Final[Mapping[str, str]] = {
    "login_required": "interaction_required",
    "consent_required": "interaction_required",
    "account_selection_required": "interaction_required",
    "slow_down": "rate_limited",
    "bad_verification_code": "invalid_grant",
    "bad_refresh_token": "invalid_grant",
    "invalid_refresh_token": "invalid_grant",
    "refresh_token_expired": "invalid_grant",
    "token_expired": "invalid_grant",
    "token_revoked": "invalid_grant",
    "deleted_client": "app_suspended",
    "disabled_client": "app_suspended",
    "incorrect_client_credentials": "invalid_client",
    "bad_client_secret": "invalid_client",
    "invalid_client_id": "invalid_client",
    "invalid_client_secret": "invalid_client",
    "invalid_client_credentials": "invalid_client",
    "bad_client_id": "invalid_client",
    "application_suspended": "app_suspended",
    "expired_refresh_token": "invalid_grant",
    "revoked_refresh_token": "invalid_grant",
    "rate_limit_exceeded": "rate_limited",
    "ratelimited": "rate_limited",
    "too_many_requests": "rate_limited",
    "internal_error": "server_error",
    "internal_failure": "server_error",
    "internal_server_error": "server_error",
    "fatal_error": "server_error",
    "service_unavailable": "temporarily_unavailable",
}


# Other words for access_denied in the callback. LinkedIn and Apple:
# https://learn.microsoft.com/en-us/linkedin/shared/authentication/authorization-code-flow,
# https://developer.apple.com/documentation/signinwithapplerestapi/errorresponse.
_DENIAL: Final = re.compile(r"(user|authorization)_?(cancel|den(ied|y)|declin|reject)", re.I)


def build_error(code: str, *, retry_after: float | None = None, sent: bool = True) -> OAuth2Error:
    """Return the error of a code in MEANINGS."""
    kind, detail = MEANINGS[code]
    return kind(code, detail, retry_after=retry_after, sent=sent)


def build_response_error(error: object, *, retry_after: float | None = None) -> OAuth2Error:
    """Return the error of a response's `error`; an unknown one is a TransientError."""
    return build_error(map_error_code(error) or "unknown_error", retry_after=retry_after)


def map_error_code(error: object) -> str | None:
    """Return the code of a response's `error`, or None if it is unknown."""
    # Some providers send an object in place of the string.
    for name in error.values() if isinstance(error, dict) else (error,):
        if isinstance(name, str):
            code = _SYNONYMS.get(name.lower(), name.lower())
            if code in MEANINGS:
                return code
    return None


def build_authorization_error(error: str) -> OAuth2Error:
    """Return the error of the callback's `error` (RFC 6749 §4.1.2.1)."""
    if _DENIAL.match(error):
        return build_error("access_denied")
    return build_response_error(error)
