"""The requests that bring tokens: one function for each grant of the standards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from egress import Timeouts
from oauth_apps.protocol.assertions import sign_assertion
from oauth_apps.protocol.responses import parse_token_response
from oauth_apps.protocol.transport import Fields, post_request, try_secrets
from oauth_apps.protocol.types import OAuthClient, TokenResponse
from oauth_apps.protocol.urls import fill_url_template
from providers import quirks
from vault.secret import Secret

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def exchange_code(
    client: OAuthClient, *, code: Secret, redirect_uri: str, verifier: Secret | None
) -> TokenResponse:
    """The tokens for a code (RFC 6749 §4.1.3); `redirect_uri` and `verifier` as its request had them."""
    fields = {
        "grant_type": "authorization_code",
        "code": code.expose(),
        "redirect_uri": redirect_uri,
    }
    if verifier is not None and client.oauth.pkce is not False:
        fields["code_verifier"] = verifier.expose()
    return _ask(client, fields)


def refresh_tokens(client: OAuthClient, *, refresh_token: Secret) -> TokenResponse:
    """New tokens for a refresh token (RFC 6749 §6), from `refresh_url` where there is one.

    No scope is sent: it stays what it was. After an error with `sent`, the provider may have
    replaced the token all the same.
    """
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token.expose()}
    return _ask(client, fields, url=client.oauth.refresh_url, refreshing=True)


def request_client_credentials_token(
    client: OAuthClient, *, scopes: Sequence[str]
) -> TokenResponse:
    """A token for the app itself (RFC 6749 §4.4); () asks for the scopes that it has."""
    return _ask(client, {"grant_type": "client_credentials"} | _scope(client, scopes))


def request_jwt_bearer_token(
    client: OAuthClient,
    *,
    issuer: str,
    subject: str,
    key: Secret,
    audience: str | None = None,
    scopes: Sequence[str] = (),
    claims: Mapping[str, Any] | None = None,
) -> TokenResponse:
    """A token for an assertion that `key` (a PEM private key) signs (RFC 7523 §2.1).

    `audience` is the token endpoint's URL unless another is given. The client is named, and
    authenticated if it has secrets; one with an empty id is not (§3.1: it is optional).
    """
    held = sign_assertion(
        issuer=issuer,
        subject=subject,
        audience=audience or fill_url_template(client.oauth.token_url, client.variables),
        key=key,
        claims=claims,
    )
    fields = {"grant_type": _JWT_BEARER, "assertion": held.expose()}
    return _ask(client, fields | _scope(client, scopes))


def _ask(
    client: OAuthClient, fields: Fields, *, url: str | None = None, refreshing: bool = False
) -> TokenResponse:
    address = fill_url_template(url or client.oauth.token_url, client.variables)
    extra = {
        name: fill_url_template(value, client.variables)
        for name, value in client.oauth.token_params.items()
    }

    def ask(secret: Secret | None, limits: Timeouts) -> TokenResponse:
        response = post_request(
            client,
            address,
            {**extra, **fields},
            secret=secret,
            timeouts=limits,
            change=lambda body, headers: _quirky(client, body, headers),
        )
        return parse_token_response(response, client.oauth, refreshing=refreshing)

    return try_secrets(client, ask)


def _quirky(
    client: OAuthClient, body: Fields, headers: Fields
) -> tuple[dict[str, str], dict[str, str]]:
    changed = dict(body), dict(headers)
    for name in client.oauth.quirks:
        if name in quirks.TOKEN_REQUEST:
            changed = quirks.TOKEN_REQUEST[name](*changed)
    return changed


def _scope(client: OAuthClient, scopes: Sequence[str]) -> dict[str, str]:
    return {"scope": client.oauth.scope_separator.join(scopes)} if scopes else {}
