"""What a browser brings in its query: each parameter once, with a value, or it is refused."""

from __future__ import annotations

from collections.abc import Collection

from django.http import HttpRequest

from common import text
from common.errors import BadRequest

LONGEST = 4096


def single(
    request: HttpRequest, *, required: Collection[str], optional: Collection[str]
) -> dict[str, str]:
    """The parameters. Raises BadRequest for one that is unknown, missing, empty, too long or double."""
    for name in request.GET:
        if name not in required and name not in optional:
            raise BadRequest.of(text.printable(name), "unknown parameter")
    found = _read(request, [*required, *optional])
    for name in required:
        if name not in found:
            raise BadRequest.of(name, "is missing")
    return found


def answered(request: HttpRequest, protocol: Collection[str]) -> dict[str, str]:
    """A provider's answer: it may have more than the protocol's parameters, but none twice or empty."""
    sent = _read(request, protocol)
    more = [name for name in request.GET if name not in protocol]
    for name in more:
        if len(request.GET.getlist(name)) > 1:
            raise BadRequest.of(text.printable(name), "is there more than once")
    return {**{name: request.GET[name] for name in more}, **sent}


def _read(request: HttpRequest, names: Collection[str]) -> dict[str, str]:
    found = {}
    for name in names:
        values = request.GET.getlist(name)
        if len(values) > 1:
            raise BadRequest.of(name, "is there more than once")
        if values and not values[0]:
            raise BadRequest.of(name, "is empty")
        if values and (len(values[0]) > LONGEST or text.encoding_fault(values[0])):
            raise BadRequest.of(name, "is too long, or not text")
        if values:
            found[name] = values[0]
    return found
