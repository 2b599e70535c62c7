"""Query parameters of browser pages: one that is empty or repeated is rejected."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django.http import HttpRequest

from common import text
from common.errors import BadRequestError

MAX_VALUE_LENGTH: Final = 4096


def parse_request_params(
    request: HttpRequest, *, required: Collection[str], optional: Collection[str]
) -> dict[str, str]:
    """Return the parameters.

    Raises BadRequestError for one that is unknown, missing, empty, too long or repeated.
    """
    for name in request.GET:
        if name not in required and name not in optional:
            raise BadRequestError.for_field(text.escape_name(name), "unknown parameter")
    params = _parse_params(request, [*required, *optional])
    for name in required:
        if name not in params:
            raise BadRequestError.for_field(name, "is missing")
    return params


def parse_callback_params(request: HttpRequest, protocol: Collection[str]) -> dict[str, str]:
    """Return the parameters of an authorization response: those of the protocol, and any others.

    Raises BadRequestError for one that is repeated, and for one of the protocol's that is empty.
    """
    params = _parse_params(request, protocol)
    # Providers add parameters of their own, and some carry the account's id (`realmId`).
    for name in request.GET:
        if name not in protocol:
            if len(request.GET.getlist(name)) > 1:
                raise BadRequestError.for_field(text.escape_name(name), "is there more than once")
            params[name] = request.GET[name]
    return params


def _parse_params(request: HttpRequest, names: Collection[str]) -> dict[str, str]:
    params = {}
    for name in names:
        values = request.GET.getlist(name)
        if not values:
            continue
        if len(values) > 1:
            raise BadRequestError.for_field(name, "is there more than once")
        if not values[0]:
            raise BadRequestError.for_field(name, "is empty")
        if len(values[0]) > MAX_VALUE_LENGTH or text.find_encoding_error(values[0]):
            raise BadRequestError.for_field(name, "is too long, or not text")
        params[name] = values[0]
    return params
