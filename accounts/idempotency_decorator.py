"""`Idempotency-Key` for the calls that make things: draft-ietf-httpapi-idempotency-key-header-07.

A handler that takes the key says so by a decorator; common.api.views refuses the header everywhere else.
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
from common.actors import get_principal
from common.api.views import IDEMPOTENCY_KEY, ApiView, read_object
from common.errors import BadRequestError, ServiceError
from common.http import get_http_request
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

_KEPT_HEADERS: Final = ("ETag", "Location", "Latchkey-Import", "Cache-Control")
_KEPT_REFUSALS: Final = frozenset({404, 409, 412, 422})
"""The work's own verdicts. What else is refused did not get so far, and is worth another try."""

# RFC 8941 §3.3.3, or as most clients send it: without the quotes. No comma there: two headers
# arrive joined by one.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_BARE: Final = re.compile(r"[!#-+\--~]*", re.ASCII)

Handler = TypeVar("Handler", bound=Callable[..., Response])


def idempotent(*, calls_upstream: bool = False) -> Callable[[Handler], Handler]:
    """A method of an ApiView that takes a JSON object and an optional Idempotency-Key.

    With a key, the work and the keeping of its answer are one transaction: however a process ends,
    both happened or none did. `asks_outside` is for work that waits for another host, which no
    transaction may; a process killed between the two leaves work that a retry does once more.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def handle(view: ApiView, request: Request, *args: Any, **kwargs: Any) -> Response:
            work = functools.partial(handler, view, request, *args, **kwargs)
            if IDEMPOTENCY_KEY not in request.META:
                return work()
            return _once(view, request, work, asks_outside=calls_upstream)

        handle.takes_idempotency_key = True  # type: ignore[attr-defined]
        return cast("Handler", extend_schema(parameters=[IDEMPOTENCY_KEY_PARAMETER])(handle))

    return decorate


def parse_idempotency_key(sent: str) -> str:
    """The key in the header, with or without quotes. Raises BadRequest (400)."""
    quoted = _QUOTED.fullmatch(sent)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else sent
    if not quoted and not _BARE.fullmatch(sent):
        raise BadRequestError(
            "Idempotency-Key must be one string of visible ASCII characters, with or without quotes."
        )
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise BadRequestError(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")
    return key


def _once(
    view: ApiView, request: Request, work: Callable[[], Response], *, asks_outside: bool
) -> Response:
    key, call = parse_idempotency_key(request.META[IDEMPOTENCY_KEY]), _call(request)
    claim = idempotency.claim_request(principal=get_principal(request), key=key, request=call)
    if isinstance(claim, StoredResponse):
        return _replay(request, claim)
    try:
        with contextlib.nullcontext() if asks_outside else transaction.atomic():
            response = _verdict(view, work)
            idempotency.store_response(claim=claim, response=_answer(request, response))
    except Exception:
        # If this cannot be written either, the lease ends by itself.
        with contextlib.suppress(Error):
            idempotency.release_claim(claim=claim)
        raise
    return response


def _call(request: Request) -> IdempotentRequest:
    """The request, once it is known to be one: what is no JSON object leaves no trace of its key."""
    raw = request._request.body
    read_object(request)
    media_type, _ = parse_header_parameters(request.content_type or "")
    return IdempotentRequest(
        method=request.method or "", path=request.path, media_type=media_type.lower(), body=raw
    )


def _verdict(view: ApiView, work: Callable[[], Response]) -> Response:
    """What the work says, a refusal of its own included; whatever else it raises is raised."""
    try:
        return work()
    except ServiceError as problem:
        later = problem.retry_after is not None or isinstance(problem, SecretUnavailableError)
        if later or problem.status not in _KEPT_REFUSALS:
            raise
        return view.handle_exception(problem)


def _answer(request: Request, response: Response) -> StoredResponse:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    if response.content_type:
        headers["Content-Type"] = response.content_type
    shown: bytes = request.accepted_renderer.render(response.data)  # type: ignore[assignment]
    return StoredResponse(status=response.status_code, headers=headers, body=shown.decode())


def _replay(request: Request, answer: StoredResponse) -> Response:
    document: Any = orjson.Fragment(answer.body)
    if answer.status >= 400:
        # A problem names the request that it answers.
        document = {**orjson.loads(answer.body), "request_id": get_http_request(request).request_id}
    headers = {**answer.headers, REPLAYED_HEADER: "true"}
    content_type = headers.pop("Content-Type", None)
    return Response(document, status=answer.status, headers=headers, content_type=content_type)
