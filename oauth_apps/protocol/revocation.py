"""Token revocation: RFC 7009, or the provider's own call."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlencode

from egress import Request, Response, Timeouts
from oauth_apps.protocol.errors import OAuth2Error, build_error
from oauth_apps.protocol.responses import decode_document, find_response_error
from oauth_apps.protocol.transport import (
    Fields,
    build_client_authentication,
    encode_body,
    post_request,
    send_request,
    try_secrets,
)
from oauth_apps.protocol.types import TIMEOUTS, OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from providers.kinds import RevocationCall
from vault.secret import Secret

_OK: Final = (200, 204)
# Some providers return these for a token that is dead already; RFC 7009 §2.2 requires 200.
_DEAD: Final = frozenset({"invalid_token", "invalid_grant"})


def revoke_token(client: OAuthClient, *, token: Secret, hint: str | None) -> None:
    """Revoke `token`. `hint` is access_token or refresh_token, and sent if the provider accepts it.

    A token that is dead already is a success. Raises OAuth2Error: with code `not_supported` if the
    provider has no call, `invalid_token` if the token itself authorizes the call and no longer can
    (then a refreshed one may).
    """
    if client.oauth.revocation is not None:
        _call_provider(client, client.oauth.revocation, token=token, hint=hint)
        return
    if client.oauth.revocation_url is None:
        raise OAuth2Error("not_supported", "The provider has no revocation call.", sent=False)
    url = fill_url_template(client.oauth.revocation_url, client.variables)
    fields = _build_fields("token", token, hint)

    def post_with_secret(secret: Secret | None, timeouts: Timeouts) -> None:
        response = post_request(client, url, fields, secret=secret, timeouts=timeouts)
        _check_response(client, response, ok=_OK)

    try_secrets(client, post_with_secret)


def _call_provider(
    client: OAuthClient, call: RevocationCall, *, token: Secret, hint: str | None
) -> None:
    url = fill_url_template(call.url, {**client.variables, "client_id": client.client_id})
    fields = _build_fields(call.token_field, token, hint if call.hint else None)

    def send_with_secret(secret: Secret | None, timeouts: Timeouts) -> None:
        auth_fields: Fields = {}
        headers: Fields = {}
        if call.auth == "client":
            auth_fields, headers = build_client_authentication(
                client.oauth.client_auth, client_id=client.client_id, secret=secret, url=url
            )
        elif call.auth == "bearer":
            headers = {"Authorization": f"Bearer {token.expose()}"}
        request_fields, request_url, body = {**fields, **auth_fields}, url, None
        headers = {"Accept": "application/json", **headers}
        if request_fields and call.method in {"GET", "DELETE"}:
            # A body has no meaning with these methods (RFC 9110 §9.3).
            request_url = f"{url}?{urlencode(request_fields)}"
        elif request_fields:
            headers["Content-Type"], body = encode_body(request_fields, client.oauth.token_format)
        request = Request(
            method=call.method, url=request_url, headers=tuple(headers.items()), body=body
        )
        response = send_request(request, timeouts)
        _check_response(client, response, ok=call.ok, bearer=call.auth == "bearer")

    if call.auth == "client":
        try_secrets(client, send_with_secret)
    else:
        send_with_secret(None, TIMEOUTS)


def _build_fields(name: str | None, token: Secret, hint: str | None) -> dict[str, str]:
    fields = {name: token.expose()} if name else {}
    return fields | ({"token_type_hint": hint} if hint else {})


def _check_response(
    client: OAuthClient, response: Response, *, ok: Collection[int], bearer: bool = False
) -> None:
    """Return if the token is revoked now; otherwise raise OAuth2Error."""
    error = find_response_error(response, decode_document(response, client.oauth))
    is_success = response.status // 100 == 2
    if response.status in ok and (error is None or not is_success):
        return
    is_dead = error is not None and error.code in _DEAD
    if is_dead and not bearer:
        return
    if is_dead or (bearer and response.status == 401):
        raise build_error("invalid_token")
    raise error or build_error("unknown_error")
