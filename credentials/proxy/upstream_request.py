"""The request to the provider: the caller's request with the credential on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from common.errors import BadRequestError, ConflictError, UriTooLongError
from credentials.core.request_auth import RequestAuth
from credentials.proxy import headers, signing
from credentials.proxy.headers import Environ
from credentials.proxy.request_body import RequestBody
from credentials.proxy.resolve import DecryptedSecrets, ResolvedCredential, build_authentication
from credentials.proxy.target import RequestTarget
from egress import Request
from egress.urls import MAX_URL_LENGTH
from oauth_apps.client_config import build_oauth_client
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import AppError

_CONTENT_HEADERS: Final = frozenset({"Content-Type", "Content-Encoding", "Content-Language"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ForwardedRequest:
    """The part of the caller's request that is forwarded, regardless of the credential."""

    method: str
    target: RequestTarget
    environ: Environ
    body: RequestBody

    @property
    def content_type(self) -> str:
        return str(self.environ.get("CONTENT_TYPE") or "")


def build_unauthenticated_request(
    credential: ResolvedCredential, forwarded: ForwardedRequest
) -> Request:
    """Return the request without a credential, for a public endpoint of the provider."""
    return _build_request(
        credential, forwarded, RequestAuth(), forwarded.target.query, forwarded.body.content
    )


def build_upstream_request(
    credential: ResolvedCredential, secrets: DecryptedSecrets, forwarded: ForwardedRequest
) -> Request:
    """Return the request with the credential.

    Raises ConflictError if the credential cannot authenticate it, BadRequestError if the request
    cannot be signed or names a parameter of the credential.
    """
    query, content = forwarded.target.query, forwarded.body.content
    if credential.signature_scheme == signing.BINANCE:
        signed = signing.sign_binance_request(
            secrets.secrets, query, content, forwarded.content_type
        )
        auth = RequestAuth(headers=signed.headers)
        return _build_request(
            credential, forwarded, auth, signed.query, None if signed.drop_body else content
        )
    if credential.signature_scheme == signing.OAUTH1:
        keys = _build_oauth1_keys(credential, secrets)
        url = _build_url(credential, forwarded, query)
        signed = signing.sign_oauth1_request(keys, forwarded.method, url)
        auth = RequestAuth(headers=signed.headers)
        return _build_request(credential, forwarded, auth, query, content)
    if credential.signature_scheme is not None:
        raise ConflictError(f"The proxy cannot sign requests of the kind {credential.kind.name}.")
    auth = build_authentication(credential, secrets)
    return _build_request(credential, forwarded, auth, _add_parameters(query, auth), content)


def _build_oauth1_keys(
    credential: ResolvedCredential, secrets: DecryptedSecrets
) -> signing.OAuth1Keys:
    app_id, properties = credential.row.oauth_app_id, credential.row.properties
    app = OAuthApp.objects.filter(id=app_id).first() if app_id else None
    if app is None:
        raise ConflictError("The credential has no OAuth app, which its requests need.")
    try:
        client = build_oauth_client(app, credential.kind.name, properties)
    except AppError as error:
        raise ConflictError(error.detail) from None
    client_secret = client.secrets[0].expose() if client.secrets else ""
    return signing.build_oauth1_keys(properties, secrets.secrets, client.client_id, client_secret)


def _add_parameters(query: str | None, auth: RequestAuth) -> str | None:
    """Return the query with the credential's own parameters.

    Raises BadRequestError if the caller's query has one of them.
    """
    if not auth.query:
        return query
    # Some servers read `;` as `&`.
    separated = (query or "").replace(";", "&")
    names = {name.lower() for name, _ in parse_qsl(separated, keep_blank_values=True)}
    for name, _ in auth.query:
        if name.lower() in names:
            raise BadRequestError(f"The query parameter {name} belongs to the credential.")
    return "&".join(part for part in (query, urlencode(auth.query)) if part)


def _build_request(
    credential: ResolvedCredential,
    forwarded: ForwardedRequest,
    auth: RequestAuth,
    query: str | None,
    content: bytes | Iterator[bytes] | None,
) -> Request:
    excluded = credential.key_headers | {name.lower() for name, _ in auth.headers}
    caller_headers = headers.filter_request_headers(forwarded.environ, excluded=excluded)
    if content is None:
        caller_headers = [pair for pair in caller_headers if pair[0] not in _CONTENT_HEADERS]
    return Request(
        method=forwarded.method,
        url=_build_url(credential, forwarded, query),
        headers=[*caller_headers, *auth.headers],
        body=content,
        length=None if content is None else forwarded.body.length,
    )


def _build_url(
    credential: ResolvedCredential, forwarded: ForwardedRequest, query: str | None
) -> str:
    url = credential.base_url + forwarded.target.path
    url = url if query is None else f"{url}?{query}"
    # The target's own length was checked, but a form that moved to the query is not part of it.
    if len(url) > MAX_URL_LENGTH:
        raise UriTooLongError(
            f"With its parameters the URL has more than {MAX_URL_LENGTH} characters."
        )
    return url
