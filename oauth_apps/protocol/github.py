"""Tokens of a GitHub App's installation.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app, read 2026-11-21.
"""

from __future__ import annotations

from typing import Final

from egress import Request, Response, Timeouts
from oauth_apps.protocol.assertions import sign_assertion
from oauth_apps.protocol.errors import AppError, OAuth2Error, UserError, build_error
from oauth_apps.protocol.responses import (
    decode_document,
    get_response_time,
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
    """Request an installation's access token. The client's secrets are the app's private keys (PEM).

    The response has `token` and `expires_at`, which `document` keeps; there is no refresh token.
    Raises OAuth2Error.
    """
    url = fill_url_template(client.oauth.token_url, client.variables)

    def request_token(secret: Secret | None, timeouts: Timeouts) -> TokenResponse:
        if secret is None:
            raise AppError("invalid_key", "The app has no private key.", sent=False)
        # GitHub identifies the app by the client id in a JWT that is valid for 10 minutes at most.
        assertion = sign_assertion(issuer=client.client_id, key=secret)
        headers = (*_HEADERS, ("Authorization", f"Bearer {assertion.expose()}"))
        response = send_request(Request(method="POST", url=url, headers=headers), timeouts)
        body = decode_document(response)
        if body is not None and (error := _find_error(response, str(body.get("message")))):
            raise error
        document = parse_document(response)
        return read_tokens(
            {**document, "access_token": document.get("token"), "token_type": "Bearer"},
            responded_at=get_response_time(response),
        )

    return try_secrets(client, request_token)


def _find_error(response: Response, message: str) -> OAuth2Error | None:
    if response.status == 401:
        return build_error("invalid_client")
    if response.status == 403:
        # A suspension and too many requests have the same status.
        if "installation has been suspended" in message:
            return UserError("installation_suspended", "The installation of the app is suspended.")
        return build_error("rate_limited", retry_after=get_retry_after(response))
    if response.status == 404:
        # "Integration not found" means the app itself; do not blame the installation.
        if "Integration" in message:
            return build_error("invalid_client")
        return UserError("installation_gone", "The app is no longer installed there.")
    if response.status == 422:
        return build_error("invalid_request")
    return None
