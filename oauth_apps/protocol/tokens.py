"""Token requests: one function for each grant of the standards, and one that picks a kind's grant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from egress import Timeouts
from oauth_apps.protocol.assertions import sign_assertion
from oauth_apps.protocol.errors import OAuth2Error, UserError
from oauth_apps.protocol.github import request_installation_token
from oauth_apps.protocol.responses import parse_token_response
from oauth_apps.protocol.transport import Fields, post_request, try_secrets
from oauth_apps.protocol.types import OAuthClient, TokenResponse
from oauth_apps.protocol.urls import fill_url_template
from providers import quirks
from providers.kinds import Kind
from vault.secret import Secret

GRANTS: Final = frozenset({"refresh_token", "client_credentials", "github_installation"})
"""The grants that a provider's file may name."""

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def request_access_token(
    client: OAuthClient, kind: Kind, properties: Mapping[str, Any]
) -> TokenResponse:
    """Request an access token for a credential of `kind`, by the `grant` of its file.

    `properties` are the credential's, with the real secrets (str or Secret); those that are not
    secret fill the URLs' variables too. Raises OAuth2Error: `not_supported` for a kind without a
    grant, UserError `missing_token` if there is no refresh token.
    """
    if kind.grant not in GRANTS:
        raise OAuth2Error(
            "not_supported", f"{kind.name} has no access tokens to request.", sent=False
        )
    variables = {
        name: str(value)
        for name, value in properties.items()
        if name not in kind.secret_fields and type(value) in (str, int)
    }
    client = replace(client, variables={**client.variables, **variables})
    if kind.grant == "client_credentials":
        return request_client_credentials_token(client, scopes=client.scopes)
    if kind.grant == "github_installation":
        return request_installation_token(client)
    token = properties.get("refresh_token")
    if not token:
        raise UserError("missing_token", "There is no refresh token to use.", sent=False)
    return refresh_tokens(
        client, refresh_token=token if isinstance(token, Secret) else Secret(token)
    )


def exchange_code(
    client: OAuthClient, *, code: Secret, redirect_uri: str, verifier: Secret | None
) -> TokenResponse:
    """Exchange a code for tokens (RFC 6749 §4.1.3).

    `redirect_uri` and `verifier` are those of the authorization request. The verifier is sent only
    if the challenge was (`pkce: true`). Raises OAuth2Error.
    """
    fields = {
        "grant_type": "authorization_code",
        "code": code.expose(),
        "redirect_uri": redirect_uri,
    }
    if verifier is not None and client.oauth.pkce:
        fields["code_verifier"] = verifier.expose()
    return _request_tokens(client, fields)


def refresh_tokens(client: OAuthClient, *, refresh_token: Secret) -> TokenResponse:
    """Request new tokens for a refresh token (RFC 6749 §6), at `refresh_url` if there is one.

    After an OAuth2Error with `sent`, the provider may have replaced the token all the same.
    """
    # Without `scope`, the new token has the scope of the old one.
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token.expose()}
    return _request_tokens(client, fields, url=client.oauth.refresh_url, refreshing=True)


def request_client_credentials_token(
    client: OAuthClient, *, scopes: Sequence[str]
) -> TokenResponse:
    """Request a token for the app itself (RFC 6749 §4.4). No scopes means those that it has."""
    fields = {"grant_type": "client_credentials"}
    return _request_tokens(client, fields | _build_scope(client, scopes))


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
    """Request a token for an assertion that `key`, a PEM private key, signs (RFC 7523 §2.1).

    `audience` is by default the token endpoint's URL. A client with an empty id is not named, as
    authentication is optional here (§3.1).
    """
    assertion = sign_assertion(
        issuer=issuer,
        subject=subject,
        audience=audience or fill_url_template(client.oauth.token_url, client.variables),
        key=key,
        claims=claims,
    )
    fields = {"grant_type": _JWT_BEARER, "assertion": assertion.expose()}
    return _request_tokens(client, fields | _build_scope(client, scopes))


def _request_tokens(
    client: OAuthClient, fields: Fields, *, url: str | None = None, refreshing: bool = False
) -> TokenResponse:
    endpoint = fill_url_template(url or client.oauth.token_url, client.variables)
    params = {
        name: fill_url_template(value, client.variables)
        for name, value in client.oauth.token_params.items()
    }

    def apply_quirks(body: Fields, headers: Fields) -> tuple[dict[str, str], dict[str, str]]:
        changed = dict(body), dict(headers)
        for name in client.oauth.quirks:
            if name in quirks.TOKEN_REQUEST:
                changed = quirks.TOKEN_REQUEST[name](*changed)
        return changed

    def post_with_secret(secret: Secret | None, timeouts: Timeouts) -> TokenResponse:
        response = post_request(
            client,
            endpoint,
            {**params, **fields},
            secret=secret,
            timeouts=timeouts,
            change=apply_quirks,
        )
        return parse_token_response(response, client.oauth, refreshing=refreshing)

    return try_secrets(client, post_with_secret)


def _build_scope(client: OAuthClient, scopes: Sequence[str]) -> dict[str, str]:
    return {"scope": client.oauth.scope_separator.join(scopes)} if scopes else {}
