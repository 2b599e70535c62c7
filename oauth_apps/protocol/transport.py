"""Requests to the authorization server: bodies, timeouts, and the errors of a missing response."""

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
from oauth_apps.protocol.types import TIMEOUTS, OAuthClient
from vault.secret import Secret

T = TypeVar("T")

Fields = Mapping[str, str]
RequestChange = Callable[[Fields, Fields], tuple[dict[str, str], dict[str, str]]]
"""Returns the fields and headers of a request, changed."""

# From the narrow to the wide: the first match counts.
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
    """Return the response, whatever its status. Raises TransientError if there is none."""
    try:
        return egress.send(request, timeouts=timeouts)
    except EgressError as error:
        failure = error
    code = next(code for kind, code in _CODES if isinstance(failure, kind))
    raise TransientError(code, f"{failure}.", sent=failure.sent)


def post_request(
    client: OAuthClient,
    url: str,
    fields: Fields,
    *,
    secret: Secret | None,
    timeouts: Timeouts,
    change: RequestChange | None = None,
) -> Response:
    """POST `fields`, authenticated with `secret`; `change` may alter what is sent."""
    auth_fields, auth_headers = build_client_authentication(
        client.oauth.client_auth, client_id=client.client_id, secret=secret, url=url
    )
    body: Fields = {**fields, **auth_fields}
    headers: Fields = {"Accept": _JSON, **auth_headers}
    if change is not None:
        body, headers = change(body, headers)
    content_type, content = encode_body(body, client.oauth.token_format)
    headers = {**headers, "Content-Type": content_type}
    return send_request(
        Request(method="POST", url=url, headers=tuple(headers.items()), body=content), timeouts
    )


def encode_body(fields: Fields, token_format: str) -> tuple[str, bytes]:
    """Return the type and bytes of a body: a form (RFC 6749, appendix B), or JSON if documented."""
    if token_format == "json":  # noqa: S105  a format, no password
        return _JSON, orjson.dumps(dict(fields))
    return _FORM, urlencode(fields).encode("ascii")


def try_secrets(client: OAuthClient, call: Callable[[Secret | None, Timeouts], T]) -> T:
    """Return what `call` returns with the newest secret, or with the second if that is rejected.

    `invalid_client`, and `app_rejected` by a rule of the provider's file, mean that nothing was done,
    so a second call is safe. The two share the time of one.
    """
    secrets = () if client.oauth.client_auth == "none" else client.secrets
    deadline = time.monotonic() + client.timeouts.total
    try:
        return call(secrets[0] if secrets else None, client.timeouts)
    except AppError as error:
        if error.code not in {"invalid_client", "app_rejected"} or len(secrets) < 2:
            raise
    try:
        return call(secrets[1], replace(client.timeouts, total=max(deadline - time.monotonic(), 0)))
    except OAuth2Error as error:
        error.sent = True  # The first request was sent, whatever happened to the second.
        raise
