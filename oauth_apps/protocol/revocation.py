"""Telling the provider that a token is no longer wanted: RFC 7009, or the provider's own call."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlencode

from egress import Request, Response, Timeouts
from oauth_apps.protocol.client_auth import build_client_authentication
from oauth_apps.protocol.errors import OAuth2Error, build_error
from oauth_apps.protocol.responses import decode_document, find_response_error
from oauth_apps.protocol.transport import (
    TIMEOUTS,
    Fields,
    encode_body,
    post_request,
    send_request,
    try_secrets,
)
from oauth_apps.protocol.types import OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from providers.kinds import RevocationCall
from vault.secret import Secret

_OK: Final = (200, 204)
# What some answer for a token that is dead already, where RFC 7009 §2.2 has 200.
_DEAD: Final = frozenset({"invalid_token", "invalid_grant"})


def revoke_token(client: OAuthClient, *, token: Secret, hint: str | None) -> None:
    """End `token` at the provider. `hint`: access_token or refresh_token, sent where it is understood.

    A token that the provider says is dead already is a success. Raises ProtocolError: with code
    `not_supported` where the provider's file has no call, `invalid_token` where the token itself
    authorizes its end and no longer can (then a refreshed one may).
    """
    if client.oauth.revocation is not None:
        _own_call(client, client.oauth.revocation, token=token, hint=hint)
    elif client.oauth.revocation_url is not None:
        _rfc7009(client, client.oauth.revocation_url, token=token, hint=hint)
    else:
        raise OAuth2Error("not_supported", "The provider has no revocation call.", sent=False)


def _rfc7009(client: OAuthClient, template: str, *, token: Secret, hint: str | None) -> None:
    url = fill_url_template(template, client.variables)
    fields = _fields("token", token, hint)

    def ask(secret: Secret | None, limits: Timeouts) -> None:
        response = post_request(client, url, fields, secret=secret, timeouts=limits)
        _settle(client, response, ok=_OK)

    try_secrets(client, ask)


def _own_call(
    client: OAuthClient, call: RevocationCall, *, token: Secret, hint: str | None
) -> None:
    url = fill_url_template(call.url, {**client.variables, "client_id": client.client_id})
    fields = _fields(call.token_field, token, hint if call.hint else None)

    def ask(secret: Secret | None, limits: Timeouts) -> None:
        proof: Fields = {}
        headers: Fields = {}
        if call.auth == "client":
            proof, headers = build_client_authentication(
                client.oauth.client_auth, client_id=client.client_id, secret=secret, url=url
            )
        elif call.auth == "bearer":
            headers = {"Authorization": f"Bearer {token.expose()}"}
        request = _request(client, call.method, url, {**fields, **proof}, headers)
        _settle(client, send_request(request, limits), ok=call.ok, bearer=call.auth == "bearer")

    if call.auth == "client":
        try_secrets(client, ask)
    else:
        ask(None, TIMEOUTS)


def _request(
    client: OAuthClient, method: str, url: str, fields: Fields, headers: Fields
) -> Request:
    """GET and DELETE have their fields in the query: bodies have no meaning there (RFC 9110 §9.3)."""
    headers = {"Accept": "application/json", **headers}
    if not fields:
        return Request(method=method, url=url, headers=tuple(headers.items()))
    if method in {"GET", "DELETE"}:
        address = f"{url}?{urlencode(fields)}"
        return Request(method=method, url=address, headers=tuple(headers.items()))
    content_type, content = encode_body(fields, client.oauth.token_format)
    headers = {**headers, "Content-Type": content_type}
    return Request(method=method, url=url, headers=tuple(headers.items()), body=content)


def _fields(name: str | None, token: Secret, hint: str | None) -> dict[str, str]:
    found = {name: token.expose()} if name else {}
    return found | ({"token_type_hint": hint} if hint else {})


def _settle(
    client: OAuthClient, response: Response, *, ok: Collection[int], bearer: bool = False
) -> None:
    error = find_response_error(response, decode_document(response, client.oauth))
    success = response.status // 100 == 2
    if response.status in ok and (error is None or not success):
        return
    dead = error is not None and error.code in _DEAD
    if dead and not bearer:
        return
    if dead or (bearer and response.status == 401):
        raise build_error("invalid_token")
    raise error or build_error("unknown_error")
