"""Why there is no token: whose fault it is, decided by tables, in sentences of our own.

A provider's `error_description` is never repeated, nor an `error` that the tables do not have: some
echo the request, and with it a secret. `code` is one of the names below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class OAuth2Error(Exception):
    """`detail` is a plain sentence, fit for tenants and logs, without a secret and a provider's words.

    `retry_after` is in seconds, at most an hour, where the provider said so. `sent` is False only
    where no byte of any request can have left: then the grant is what it was before.
    """

    def __init__(
        self, code: str, detail: str, *, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.sent = sent


class UserError(OAuth2Error):
    """The grant is gone or was refused; only its user can give it again. Final at once."""


class AppError(OAuth2Error):
    """The OAuth app or its configuration is wrong; says nothing about the user's grant."""


class TransientError(OAuth2Error):
    """Nothing is known: try again. Blames neither the user nor the app."""


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
    "invalid_target": (AppError, "The provider does not know the resource or audience asked for."),
    "app_rejected": (AppError, "The provider says that the app or its configuration is wrong."),
    "app_suspended": (AppError, "The provider says that the app is suspended or deleted."),
    "invalid_request": (TransientError, "The provider calls the request malformed."),
    "invalid_token": (TransientError, "The provider does not know the token."),
    "unsupported_token_type": (TransientError, "The provider does not revoke this type of token."),
    "server_error": (TransientError, "The provider had an error of its own."),
    "temporarily_unavailable": (TransientError, "The provider is unavailable for now."),
    "rate_limited": (TransientError, "The provider asks for fewer requests."),
    "redirected": (TransientError, "The provider answered with a redirect, which is not followed."),
    "unreadable_answer": (TransientError, "The provider's answer could not be read."),
    "unknown_error": (TransientError, "The provider refused without a reason that is known."),
}
"""What each code means: RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 8707 §2, and ours.

`invalid_request` blames nobody: some providers say it of one user's token, some of the app, and to
stop a whole app for one token would be the worse mistake.
"""

# Other words for the same. Each has its page:
# OpenID Connect Core §3.1.2.6 (login, consent, interaction), RFC 8628 §3.5 (slow_down),
# https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps (GitHub's), read 2026-11-21.
_SAME: Final[Mapping[str, str]] = {
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
    "application_suspended": "app_suspended",
}


def build_error(code: str, *, retry_after: float | None = None, sent: bool = True) -> OAuth2Error:
    """The error of one of our codes."""
    kind, detail = MEANINGS[code]
    return kind(code, detail, retry_after=retry_after, sent=sent)


def build_response_error(error: Any, *, retry_after: float | None = None) -> OAuth2Error:
    """The error that an answer's `error` means; unknown ones and what is no string blame nobody."""
    return build_error(map_error_code(error) or "unknown_error", retry_after=retry_after)


def map_error_code(error: Any) -> str | None:
    """Our code for an answer's `error`, or for the object that some put in its place."""
    names = error.values() if isinstance(error, dict) else (error,)
    return next(filter(None, map(_known, names)), None)


def _known(error: Any) -> str | None:
    if not isinstance(error, str):
        return None
    code = _SAME.get(error.lower(), error.lower())
    return code if code in MEANINGS else None


def build_authorization_error(error: str) -> OAuth2Error:
    """The error of an authorization answer, as the callback's `error` names it (RFC 6749 §4.1.2.1)."""
    return build_response_error(error)
