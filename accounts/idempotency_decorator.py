"""`Idempotency-Key` for requests that create: draft-ietf-httpapi-idempotency-key-header-07.

A handler that accepts the key has the decorator; common.api.views rejects the header everywhere else.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import orjson
from django.db import Error, transaction
from django.utils.http import parse_header_parameters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import idempotency
from accounts.idempotency import IdempotentRequest, StoredResponse
from common.api.views import IDEMPOTENCY_KEY, ApiView, read_object
from common.errors import BadRequestError, ServiceError
from common.http import get_http_request, get_principal
from vault.sealing import SecretUnavailableError

MAX_KEY_LENGTH: Final = 255
REPLAYED_HEADER: Final = "Idempotent-Replayed"
IDEMPOTENCY_KEY_PARAMETER: Final = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description=(
        "Your name for this request, 1 to 255 visible ASCII characters, best a random UUID: sent again"
        f" within 24 hours, the request is answered as it was, with `{REPLAYED_HEADER}: true`."
    ),
)

_STORED_HEADERS: Final = ("ETag", "Location", "Latchkey-Import", "Latchkey-Notice", "Cache-Control")
# Errors that the work itself raises. Others occur before it, and the request may succeed later.
_STORED_ERRORS: Final = frozenset({404, 409, 412, 422})

# RFC 8941 §3.3.3, or without the quotes, as most clients send it. Without quotes a comma is not
# allowed: two headers arrive joined by one.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_BARE: Final = re.compile(r"[!#-+\--~]*", re.ASCII)

Handler = TypeVar("Handler", bound=Callable[..., Response])


def idempotent(*, calls_upstream: bool = False) -> Callable[[Handler], Handler]:
    """Decorate a method of an ApiView that takes a JSON object and an optional Idempotency-Key.

    With a key, the work and the storing of its response are one transaction: if the process dies,
    both happened or neither did. `calls_upstream` is for work that waits for another host, which a
    transaction must not: if the process dies between the two, a retry does the work again.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def handle(view: ApiView, request: Request, *args: Any, **kwargs: Any) -> Response:
            work = functools.partial(handler, view, request, *args, **kwargs)
            if IDEMPOTENCY_KEY not in request.META:
                return work()
            return _run_once(view, request, work, calls_upstream=calls_upstream)

        handle.takes_idempotency_key = True  # type: ignore[attr-defined]
        return cast("Handler", extend_schema(parameters=[IDEMPOTENCY_KEY_PARAMETER])(handle))

    return decorate


def parse_idempotency_key(header: str) -> str:
    """Return the key in the header, with or without quotes. Raises BadRequestError (400)."""
    quoted = _QUOTED.fullmatch(header)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else header
    if not quoted and not _BARE.fullmatch(header):
        raise BadRequestError(
            "Idempotency-Key must be one string of visible ASCII characters, with or without quotes."
        )
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise BadRequestError(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")
    return key


def _run_once(
    view: ApiView, request: Request, work: Callable[[], Response], *, calls_upstream: bool
) -> Response:
    """Run `work` and store its response, or return the stored response."""
    key = parse_idempotency_key(request.META[IDEMPOTENCY_KEY])
    body = request._request.body
    # Before the claim, so that a body that is not a JSON object leaves no record of its key.
    read_object(request)
    media_type, _ = parse_header_parameters(request.content_type or "")
    claim = idempotency.claim_request(
        principal=get_principal(request),
        key=key,
        request=IdempotentRequest(
            method=request.method or "", path=request.path, media_type=media_type.lower(), body=body
        ),
        lease=idempotency.UPSTREAM_LEASE if calls_upstream else idempotency.LEASE,
    )
    if isinstance(claim, StoredResponse):
        return _replay(request, claim)
    try:
        with contextlib.nullcontext() if calls_upstream else transaction.atomic():
            response = _run(view, work)
            idempotency.store_response(claim=claim, response=_serialize(request, response))
    except Exception:
        # If the database fails here as well, the claim expires.
        with contextlib.suppress(Error):
            idempotency.release_claim(claim=claim)
        raise
    return response


def _run(view: ApiView, work: Callable[[], Response]) -> Response:
    """Return the response of `work`, also if it raised an error that must be stored."""
    try:
        return work()
    except ServiceError as error:
        is_temporary = error.retry_after is not None or isinstance(error, SecretUnavailableError)
        if is_temporary or error.status not in _STORED_ERRORS:
            raise
        return view.handle_exception(error)


def _serialize(request: Request, response: Response) -> StoredResponse:
    headers = {name: response[name] for name in _STORED_HEADERS if name in response}
    if response.content_type:
        headers["Content-Type"] = response.content_type
    body: bytes = request.accepted_renderer.render(response.data)  # type: ignore[assignment]
    return StoredResponse(status=response.status_code, headers=headers, body=body.decode())


def _replay(request: Request, stored: StoredResponse) -> Response:
    """Return the stored response, with `Idempotent-Replayed: true`."""
    document: Any = orjson.Fragment(stored.body)
    if stored.status >= 400:
        # An error has the id of the request that it responds to.
        document = {**orjson.loads(stored.body), "request_id": get_http_request(request).request_id}
    headers = {**stored.headers, REPLAYED_HEADER: "true"}
    content_type = headers.pop("Content-Type", None)
    return Response(document, status=stored.status, headers=headers, content_type=content_type)
