"""Requests to the authorization server: their bodies, their limits, and what kept an answer away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import urlencode

import orjson

from egress import (
    BlockedByPolicyError,
    ConnectError,
    EgressError,
    EgressTimeoutError,
    ProtocolError,
    Request,
    Response,
    ResponseTooLargeError,
    Timeouts,
)
from egress import client as egress
from oauth_apps.protocol.client_auth import build_client_authentication
from oauth_apps.protocol.errors import AppError, OAuth2Error, TransientError
from oauth_apps.protocol.types import OAuthClient
from vault.secret import Secret

T = TypeVar("T")

TIMEOUTS: Final = Timeouts(max_body_bytes=256 * 1024)
"""12 s and 256 KiB: tokens have at most 16 KiB each, and a refresh's lease is 20 s."""

Fields = Mapping[str, str]
RequestChange = Callable[[Fields, Fields], tuple[dict[str, str], dict[str, str]]]
"""From fields and headers to fields and headers."""

# From the narrow to the wide: the first that fits tells.
_CODES: Final[tuple[tuple[type[EgressError], str], ...]] = (
    (EgressTimeoutError, "timeout"),
    (ResponseTooLargeError, "answer_too_large"),
    (ProtocolError, "connection_lost"),
    (ConnectError, "unreachable"),
    (BlockedByPolicyError, "refused"),
    (EgressError, "unreachable"),
)

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


def send_request(request: Request, timeouts: Timeouts = TIMEOUTS) -> Response:
    """The answer, whatever its status. Raises TransientError where there is none."""
    try:
        return egress.send(request, timeouts=timeouts)
    except EgressError as error:
        failed = error
    code = next(code for kind, code in _CODES if isinstance(failed, kind))
    raise TransientError(code, f"{failed}.", sent=failed.sent)


def post_request(
    client: OAuthClient,
    url: str,
    fields: Fields,
    *,
    secret: Secret | None,
    timeouts: Timeouts,
    change: RequestChange | None = None,
) -> Response:
    """POST `fields`, authenticated with `secret`; `change` has the last word on what is sent."""
    method = client.oauth.client_auth
    proof, proof_headers = build_client_authentication(
        method, client_id=client.client_id, secret=secret, url=url
    )
    body: Fields = {**fields, **proof}
    headers: Fields = {"Accept": _JSON, **proof_headers}
    if change is not None:
        body, headers = change(body, headers)
    content_type, content = encode_body(body, client.oauth.token_format)
    headers = {**headers, "Content-Type": content_type}
    return send_request(
        Request(method="POST", url=url, headers=tuple(headers.items()), body=content), timeouts
    )


def encode_body(fields: Fields, token_format: str) -> tuple[str, bytes]:
    """The type and bytes of a body: a form (RFC 6749, appendix B), or JSON where documented so."""
    if token_format == "json":  # noqa: S105  a format, no password
        return _JSON, orjson.dumps(dict(fields))
    return _FORM, urlencode(fields).encode("ascii")


def try_secrets(client: OAuthClient, ask: Callable[[Secret | None, Timeouts], T]) -> T:
    """What `ask` returns with the newest secret, or with the one before it on `invalid_client`.

    That answer says that nothing was done, so asking again is safe. Both share the time of one.
    """
    usable = () if client.oauth.client_auth == "none" else client.secrets
    ends = time.monotonic() + TIMEOUTS.total
    try:
        return ask(usable[0] if usable else None, TIMEOUTS)
    except AppError as error:
        if error.code != "invalid_client" or len(usable) < 2:
            raise
    try:
        return ask(usable[1], replace(TIMEOUTS, total=max(ends - time.monotonic(), 0)))
    except OAuth2Error as error:
        error.sent = True  # The first was, whatever became of the second.
        raise
