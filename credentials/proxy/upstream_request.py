"""The request that goes to the provider: the caller's, with the credential on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from common.errors import BadRequestError, ConflictError, UriTooLongError
from credentials.core.request_auth import RequestAuth
from credentials.proxy import headers, signing
from credentials.proxy.request_body import RequestBody
from credentials.proxy.resolve import DecryptedSecrets, ResolvedCredential, build_authentication
from credentials.proxy.target import RequestTarget
from egress import Request
from egress.urls import MAX_URL_LENGTH
from oauth_apps.client_config import build_oauth_client
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import AppError

_DESCRIBE_BODY: Final = frozenset({"Content-Type", "Content-Encoding", "Content-Language"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ForwardedRequest:
    """What of the caller's request goes on, whichever credential is put on it."""

    method: str
    target: RequestTarget
    environ: Mapping[str, Any]
    body: RequestBody

    @property
    def content_type(self) -> str:
        return str(self.environ.get("CONTENT_TYPE") or "")


def build_unauthenticated_request(chosen: ResolvedCredential, call: ForwardedRequest) -> Request:
    """The request without a credential, for what its provider answers to anybody."""
    return _request(chosen, call, RequestAuth(), call.target.query, call.body.content)


def build_upstream_request(
    chosen: ResolvedCredential, opened: DecryptedSecrets, call: ForwardedRequest
) -> Request:
    """The request with the credential. Raises Conflict or BadRequest where that cannot be."""
    if chosen.signature_scheme == signing.BINANCE:
        made = signing.sign_binance_request(
            opened.secrets, call.target.query, call.body.content, call.content_type
        )
        body = None if made.drop_body else call.body.content
        return _request(chosen, call, RequestAuth(headers=made.headers), made.query, body)
    if chosen.signature_scheme == signing.OAUTH1:
        return _with_oauth1(chosen, opened, call)
    if chosen.signature_scheme is not None:
        raise ConflictError(f"Requests of the kind {chosen.kind.name} cannot be signed here.")
    injected = build_authentication(chosen, opened)
    query = _with(call.target.query, injected)
    return _request(chosen, call, injected, query, call.body.content)


def _with_oauth1(
    chosen: ResolvedCredential, opened: DecryptedSecrets, call: ForwardedRequest
) -> Request:
    id = chosen.row.oauth_app_id
    app = OAuthApp.objects.filter(id=id).first() if id else None
    if app is None:
        raise ConflictError("The credential has no OAuth app, which its requests need.")
    try:
        client = build_oauth_client(app, chosen.row.properties)
    except AppError as error:
        raise ConflictError(error.detail) from None
    secret = client.secrets[0].expose() if client.secrets else ""
    keys = signing.build_oauth1_keys(
        chosen.row.properties, opened.secrets, client.client_id, secret
    )
    made = signing.sign_oauth1_request(keys, call.method, _url(chosen, call, call.target.query))
    injected = RequestAuth(headers=made.headers)
    return _request(chosen, call, injected, call.target.query, call.body.content)


def _with(query: str | None, injected: RequestAuth) -> str | None:
    """The query with the credential's own parameters; those the caller has are BadRequest."""
    if not injected.query:
        return query
    # Some servers take `;` for `&`.
    plain = (query or "").replace(";", "&")
    given = {name.lower() for name, _ in parse_qsl(plain, keep_blank_values=True)}
    for name, _ in injected.query:
        if name.lower() in given:
            raise BadRequestError(f"The query parameter {name} is the credential's.")
    return "&".join(part for part in (query, urlencode(injected.query)) if part)


def _request(
    chosen: ResolvedCredential,
    call: ForwardedRequest,
    injected: RequestAuth,
    query: str | None,
    body: bytes | Iterator[bytes] | None,
) -> Request:
    own = chosen.key_headers | {name.lower() for name, _ in injected.headers}
    passed = headers.filter_request_headers(call.environ, excluded=own)
    if body is None:
        passed = [pair for pair in passed if pair[0] not in _DESCRIBE_BODY]
    return Request(
        method=call.method,
        url=_url(chosen, call, query),
        headers=[*passed, *injected.headers],
        body=body,
        length=None if body is None else call.body.length,
    )


def _url(chosen: ResolvedCredential, call: ForwardedRequest, query: str | None) -> str:
    url = chosen.base_url + call.target.path
    url = url if query is None else f"{url}?{query}"
    if len(url) > MAX_URL_LENGTH:  # A form was moved to the query, which had no bound of its own.
        raise UriTooLongError(
            f"With its parameters the URL has more than {MAX_URL_LENGTH} characters."
        )
    return url
