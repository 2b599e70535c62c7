"""What a browser brings in its query: each parameter once, with a value, or it is refused."""

from __future__ import annotations

from collections.abc import Collection

from django.http import HttpRequest

from common import text
from common.errors import BadRequestError

LONGEST = 4096


def parse_request_params(
    request: HttpRequest, *, required: Collection[str], optional: Collection[str]
) -> dict[str, str]:
    """The parameters. Raises BadRequest for one that is unknown, missing, empty, too long or double."""
    for name in request.GET:
        if name not in required and name not in optional:
            raise BadRequestError.for_field(text.escape_name(name), "unknown parameter")
    found = _read(request, [*required, *optional])
    for name in required:
        if name not in found:
            raise BadRequestError.for_field(name, "is missing")
    return found


def parse_callback_params(request: HttpRequest, protocol: Collection[str]) -> dict[str, str]:
    """A provider's answer: it may have more than the protocol's parameters, but none twice or empty."""
    sent = _read(request, protocol)
    more = [name for name in request.GET if name not in protocol]
    for name in more:
        if len(request.GET.getlist(name)) > 1:
            raise BadRequestError.for_field(text.escape_name(name), "is there more than once")
    return {**{name: request.GET[name] for name in more}, **sent}


def _read(request: HttpRequest, names: Collection[str]) -> dict[str, str]:
    found = {}
    for name in names:
        values = request.GET.getlist(name)
        if len(values) > 1:
            raise BadRequestError.for_field(name, "is there more than once")
        if values and not values[0]:
            raise BadRequestError.for_field(name, "is empty")
        if values and (len(values[0]) > LONGEST or text.find_encoding_error(values[0])):
            raise BadRequestError.for_field(name, "is too long, or not text")
        if values:
            found[name] = values[0]
    return found
