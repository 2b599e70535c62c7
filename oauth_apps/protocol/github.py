"""Tokens of a GitHub App's installation.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app, read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from egress.deadline import Limits
from egress.requests import Request, Response
from oauth_apps.protocol.assertions import assertion
from oauth_apps.protocol.errors import AppError, ProtocolError, UserError, failure
from oauth_apps.protocol.responses import decoded, document_of, read_tokens, retry_after_of
from oauth_apps.protocol.transport import send, with_secrets
from oauth_apps.protocol.types import Client, Tokens
from oauth_apps.protocol.urls import fill
from vault.secret import Secret

_HEADERS: Final = (
    ("Accept", "application/vnd.github+json"),
    ("X-GitHub-Api-Version", "2022-11-28"),
)


def installation_token(client: Client) -> Tokens:
    """An installation's access token. The client's secrets are the app's private keys, as PEM.

    The app names itself by client id, in a JWT of its key (RS256, at most 10 minutes). The answer
    has `token` and `expires_at`; `document` has them as they came. There is no refresh token.
    """
    url = fill(client.oauth.token_url, client.variables)

    def ask(secret: Secret | None, limits: Limits) -> Tokens:
        if secret is None:
            raise AppError("invalid_key", "The app has no private key.", sent=False)
        held = assertion(issuer=client.client_id, key=secret)
        headers = (*_HEADERS, ("Authorization", f"Bearer {held.expose()}"))
        return _tokens(send(Request(method="POST", url=url, headers=headers), limits))

    return with_secrets(client, ask)


def _tokens(response: Response) -> Tokens:
    document = decoded(response)
    if document is not None and (refused := _REFUSED.get(response.status)):
        raise refused(response, str(document.get("message")))
    document = document_of(response)
    return read_tokens({**document, "access_token": document.get("token"), "token_type": "Bearer"})


def _unauthenticated(response: Response, message: str) -> ProtocolError:
    return failure("invalid_client")


def _forbidden(response: Response, message: str) -> ProtocolError:
    """Suspended, or too many requests: both are 403, and the message alone tells them apart."""
    if "installation has been suspended" in message:
        return UserError("installation_suspended", "The installation of the app is suspended.")
    return failure("rate_limited", retry_after=retry_after_of(response))


def _not_found(response: Response, message: str) -> ProtocolError:
    """Of the app itself it says "Integration not found", and that is no fault of an installation's."""
    if "Integration" in message:
        return failure("invalid_client")
    return UserError("installation_gone", "The app is no longer installed there.")


def _malformed(response: Response, message: str) -> ProtocolError:
    return failure("invalid_request")


_REFUSED: Final[Mapping[int, Callable[[Response, str], ProtocolError]]] = {
    401: _unauthenticated,
    403: _forbidden,
    404: _not_found,
    422: _malformed,
}
