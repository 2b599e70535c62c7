"""The request that goes to the provider: the caller's, with the credential on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from common.errors import BadRequest, Conflict, TargetTooLong
from credentials.core.request_auth import Injection
from credentials.proxy import headers, signing
from credentials.proxy.request_body import Upload
from credentials.proxy.resolve import Chosen, Opened, proof
from credentials.proxy.target import Target
from egress.requests import Request
from egress.urls import MAX_LENGTH
from oauth_apps.client_config import client_of
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import AppError

_DESCRIBE_BODY: Final = frozenset({"Content-Type", "Content-Encoding", "Content-Language"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Call:
    """What of the caller's request goes on, whichever credential is put on it."""

    method: str
    target: Target
    environ: Mapping[str, Any]
    upload: Upload

    @property
    def content_type(self) -> str:
        return str(self.environ.get("CONTENT_TYPE") or "")


def bare(chosen: Chosen, call: Call) -> Request:
    """The request without a credential, for what its provider answers to anybody."""
    return _request(chosen, call, Injection(), call.target.query, call.upload.body)


def outgoing(chosen: Chosen, opened: Opened, call: Call) -> Request:
    """The request with the credential. Raises Conflict or BadRequest where that cannot be."""
    if chosen.scheme == signing.BINANCE:
        made = signing.binance(
            opened.secrets, call.target.query, call.upload.body, call.content_type
        )
        body = None if made.drop_body else call.upload.body
        return _request(chosen, call, Injection(headers=made.headers), made.query, body)
    if chosen.scheme == signing.OAUTH1:
        return _with_oauth1(chosen, opened, call)
    if chosen.scheme is not None:
        raise Conflict(f"Requests of the kind {chosen.kind.name} cannot be signed here.")
    injected = proof(chosen, opened)
    query = _with(call.target.query, injected)
    return _request(chosen, call, injected, query, call.upload.body)


def _with_oauth1(chosen: Chosen, opened: Opened, call: Call) -> Request:
    id = chosen.row.oauth_app_id
    app = OAuthApp.objects.filter(id=id).first() if id else None
    if app is None:
        raise Conflict("The credential has no OAuth app, which its requests need.")
    try:
        client = client_of(app, chosen.row.properties)
    except AppError as error:
        raise Conflict(error.detail) from None
    secret = client.secrets[0].expose() if client.secrets else ""
    keys = signing.oauth1_keys(chosen.row.properties, opened.secrets, client.client_id, secret)
    made = signing.oauth1(keys, call.method, _url(chosen, call, call.target.query))
    injected = Injection(headers=made.headers)
    return _request(chosen, call, injected, call.target.query, call.upload.body)


def _with(query: str | None, injected: Injection) -> str | None:
    """The query with the credential's own parameters; those the caller has are BadRequest."""
    if not injected.query:
        return query
    # Some servers take `;` for `&`.
    plain = (query or "").replace(";", "&")
    given = {name.lower() for name, _ in parse_qsl(plain, keep_blank_values=True)}
    for name, _ in injected.query:
        if name.lower() in given:
            raise BadRequest(f"The query parameter {name} is the credential's.")
    return "&".join(part for part in (query, urlencode(injected.query)) if part)


def _request(
    chosen: Chosen,
    call: Call,
    injected: Injection,
    query: str | None,
    body: bytes | Iterator[bytes] | None,
) -> Request:
    own = chosen.own_headers | {name.lower() for name, _ in injected.headers}
    passed = headers.to_upstream(call.environ, without=own)
    if body is None:
        passed = [pair for pair in passed if pair[0] not in _DESCRIBE_BODY]
    return Request(
        method=call.method,
        url=_url(chosen, call, query),
        headers=[*passed, *injected.headers],
        body=body,
        length=None if body is None else call.upload.length,
    )


def _url(chosen: Chosen, call: Call, query: str | None) -> str:
    url = chosen.base_url + call.target.path
    url = url if query is None else f"{url}?{query}"
    if len(url) > MAX_LENGTH:  # A form was moved to the query, which had no bound of its own.
        raise TargetTooLong(f"With its parameters the URL has more than {MAX_LENGTH} characters.")
    return url
