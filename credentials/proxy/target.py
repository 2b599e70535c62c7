"""The request target as it came over the wire: which credential, and which path of its provider.

It is kept byte for byte, so what two servers could read in two ways is refused instead of repaired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from common.errors import BadRequestError, NotFoundError, UriTooLongError

MAX_LENGTH: Final = 4096

ENCODED_SLASH: Final = "encoded_slash"
ENCODED_BACKSLASH: Final = "encoded_backslash"
ENCODED_DOT: Final = "encoded_dot"
EMPTY_SEGMENT: Final = "empty_segment"

_VISIBLE: Final = re.compile(r"[!$-;=?-\[\]-~]*")  # without " # < > \
_FORM: Final = re.compile(
    r"(?P<prefix>/v1/proxy/credential/(?P<id>[^/?]+)|/proxy/(?P<service>[^/?]+))"
    r"(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_BROKEN: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"%(?:25)*(?:[01][0-9a-f]|7f)", re.IGNORECASE)
# A dot, slash or backslash to decoders that take more bytes for one than UTF-8 allows (RFC 3629 §3).
_OVERLONG: Final = re.compile(r"%(?:25)*(?:c0%(?:25)*a[ef]|c1%(?:25)*9c)", re.IGNORECASE)
# Also as they look when encoded twice: the provider may decode twice.
_ENCODED: Final = {
    ENCODED_SLASH: re.compile(r"%(?:25)*2f", re.IGNORECASE),
    ENCODED_BACKSLASH: re.compile(r"%(?:25)*5c", re.IGNORECASE),
    ENCODED_DOT: re.compile(r"%(?:25)*2e", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTarget:
    """`prefix` is the part that is ours, as it was written; one of `id` and `service` is named."""

    prefix: str
    id: str | None
    service: str | None
    path: str
    query: str | None


def parse_target(raw: str) -> RequestTarget:
    """The parts of a request target. Raises BadRequest, TargetTooLong, or NotFound."""
    if len(raw) > MAX_LENGTH:
        raise UriTooLongError(f"The request target must be at most {MAX_LENGTH} bytes.")
    if not raw.startswith("/") or raw.startswith("//"):
        raise BadRequestError("The request target must be a path on this server.")
    if not _VISIBLE.fullmatch(raw):
        raise BadRequestError('The request target must be visible ASCII without \\ " < > #.')
    found = _FORM.fullmatch(raw)
    if found is None:
        raise NotFoundError()
    return RequestTarget(
        prefix=found["prefix"],
        id=found["id"],
        service=found["service"],
        path=found["path"] or "",
        query=found["query"],
    )


def check_path(path: str, allowed: frozenset[str] = frozenset()) -> None:
    """Raise BadRequest for a path that servers do not all read alike.

    `allowed` are the exceptions that a provider's file makes (`api.paths`). Dot segments are never
    allowed, however they are written.
    """
    if _BROKEN.search(path):
        raise BadRequestError("The path has a broken percent-escape.")
    if _CONTROL.search(path):
        raise BadRequestError("The path has an encoded control character.")
    for name, pattern in _ENCODED.items():
        if name not in allowed and pattern.search(path):
            raise BadRequestError(f"The path has an {name.replace('_', ' ')}.")
    if "//" in path and EMPTY_SEGMENT not in allowed:
        raise BadRequestError("The path has an empty segment (//).")
    if _OVERLONG.search(path):
        raise BadRequestError("The path has a character in an overlong form of UTF-8.")
    if has_dot_segment(path):
        raise BadRequestError("The path has a dot segment.")


def has_dot_segment(path: str) -> bool:
    """Whether a segment of `path` is `.` or `..`, however it is written."""
    return any(_is_dots(segment) for segment in re.split(r"[/\\]", decode_fully(path)))


def decode_fully(path: str) -> str:
    """`path` without any percent-encoding, however often it was encoded."""
    while (plain := unquote(path)) != path:
        path = plain
    return path


def _is_dots(segment: str) -> bool:
    # Some servers cut parameters off a segment before they look at its dots (`..;x`).
    return segment.partition(";")[0] in {".", ".."}
