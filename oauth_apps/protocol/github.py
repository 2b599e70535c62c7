"""Tokens of a GitHub App's installation.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app, read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from egress import Request, Response, Timeouts
from oauth_apps.protocol.assertions import sign_assertion
from oauth_apps.protocol.errors import AppError, OAuth2Error, UserError, build_error
from oauth_apps.protocol.responses import (
    decode_document,
    get_retry_after,
    parse_document,
    read_tokens,
)
from oauth_apps.protocol.transport import send_request, try_secrets
from oauth_apps.protocol.types import OAuthClient, TokenResponse
from oauth_apps.protocol.urls import fill_url_template
from vault.secret import Secret

_HEADERS: Final = (
    ("Accept", "application/vnd.github+json"),
    ("X-GitHub-Api-Version", "2022-11-28"),
)


def request_installation_token(client: OAuthClient) -> TokenResponse:
    """An installation's access token. The client's secrets are the app's private keys, as PEM.

    The app names itself by client id, in a JWT of its key (RS256, at most 10 minutes). The answer
    has `token` and `expires_at`; `document` has them as they came. There is no refresh token.
    """
    url = fill_url_template(client.oauth.token_url, client.variables)

    def ask(secret: Secret | None, limits: Timeouts) -> TokenResponse:
        if secret is None:
            raise AppError("invalid_key", "The app has no private key.", sent=False)
        held = sign_assertion(issuer=client.client_id, key=secret)
        headers = (*_HEADERS, ("Authorization", f"Bearer {held.expose()}"))
        return _tokens(send_request(Request(method="POST", url=url, headers=headers), limits))

    return try_secrets(client, ask)


def _tokens(response: Response) -> TokenResponse:
    document = decode_document(response)
    if document is not None and (refused := _REFUSED.get(response.status)):
        raise refused(response, str(document.get("message")))
    document = parse_document(response)
    return read_tokens({**document, "access_token": document.get("token"), "token_type": "Bearer"})


def _unauthenticated(response: Response, message: str) -> OAuth2Error:
    return build_error("invalid_client")


def _forbidden(response: Response, message: str) -> OAuth2Error:
    """Suspended, or too many requests: both are 403, and the message alone tells them apart."""
    if "installation has been suspended" in message:
        return UserError("installation_suspended", "The installation of the app is suspended.")
    return build_error("rate_limited", retry_after=get_retry_after(response))


def _not_found(response: Response, message: str) -> OAuth2Error:
    """Of the app itself it says "Integration not found", and that is no fault of an installation's."""
    if "Integration" in message:
        return build_error("invalid_client")
    return UserError("installation_gone", "The app is no longer installed there.")


def _malformed(response: Response, message: str) -> OAuth2Error:
    return build_error("invalid_request")


_REFUSED: Final[Mapping[int, Callable[[Response, str], OAuth2Error]]] = {
    401: _unauthenticated,
    403: _forbidden,
    404: _not_found,
    422: _malformed,
}
