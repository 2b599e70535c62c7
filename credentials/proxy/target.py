"""The request target as it was received: which credential, and which path of its provider.

It is kept byte for byte. A target that two servers could read in different ways is rejected, not repaired.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from common.errors import BadRequestError, NotFoundError, UriTooLongError

MAX_LENGTH: Final = 4096

ENCODED_SLASH: Final = "encoded_slash"
ENCODED_BACKSLASH: Final = "encoded_backslash"
ENCODED_DOT: Final = "encoded_dot"
EMPTY_SEGMENT: Final = "empty_segment"

_ALLOWED_CHARACTERS: Final = re.compile(r"[!$-;=?-\[\]-~]*")  # visible ASCII without " # < > \
_TARGET: Final = re.compile(
    r"(?P<prefix>/v1/proxy/credential/(?P<id>[^/?]+)|/proxy/(?P<service>[^/?]+))"
    r"(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_SUFFIX: Final = re.compile(r"[;?#]")
_HEX_BYTE: Final = re.compile(rb"[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_CHARACTER: Final = re.compile(r"%(?:25)*(?:[01][0-9a-f]|7f)", re.IGNORECASE)
# Encoded once or more often: the provider may decode twice.
_ENCODED: Final = {
    ENCODED_SLASH: re.compile(r"%(?:25)*2f", re.IGNORECASE),
    ENCODED_BACKSLASH: re.compile(r"%(?:25)*5c", re.IGNORECASE),
    ENCODED_DOT: re.compile(r"%(?:25)*2e", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTarget:
    """The parts of a target. `prefix` is the proxy's own part. Either `id` or `service` is set."""

    prefix: str
    id: str | None
    service: str | None
    path: str
    query: str | None


def parse_target(raw: str) -> RequestTarget:
    """Return the parts of a target. Raises BadRequestError, UriTooLongError or NotFoundError."""
    if len(raw) > MAX_LENGTH:
        raise UriTooLongError(f"The request target must be at most {MAX_LENGTH} bytes.")
    if not raw.startswith("/") or raw.startswith("//"):
        raise BadRequestError("The request target must be a path on this server.")
    if not _ALLOWED_CHARACTERS.fullmatch(raw):
        raise BadRequestError('The request target must be visible ASCII without \\ " < > #.')
    match = _TARGET.fullmatch(raw)
    if match is None:
        raise NotFoundError()
    return RequestTarget(
        prefix=match["prefix"],
        id=match["id"],
        service=match["service"],
        path=match["path"] or "",
        query=match["query"],
    )


def check_path(path: str, allowed: frozenset[str] = frozenset()) -> None:
    """Raise BadRequestError for a path that servers could read in different ways.

    `allowed` are the exceptions in a provider's file (`api.paths`). Dot segments are never allowed,
    in any encoding.
    """
    if _BROKEN_ESCAPE.search(path):
        raise BadRequestError("The path has a broken percent-escape.")
    if _CONTROL_CHARACTER.search(path):
        raise BadRequestError("The path has an encoded control character.")
    for name, pattern in _ENCODED.items():
        if name not in allowed and pattern.search(path):
            raise BadRequestError(f"The path has an {name.replace('_', ' ')}.")
    if "//" in path and EMPTY_SEGMENT not in allowed:
        raise BadRequestError("The path has an empty segment (//).")
    decoded = _decode_path(path)
    if has_dot_segment(path):
        raise BadRequestError("The path has a dot segment.")
    # Some servers normalize names, and read U+FF0E as a dot and U+FF0F as a slash.
    normalized = decode_fully(unicodedata.normalize("NFKC", decoded))
    if has_dot_segment(normalized) or _count_separators(normalized) != _count_separators(decoded):
        raise BadRequestError("The path has a character that some servers read as a dot or slash.")


def _decode_path(path: str) -> str:
    """Return `path` without percent-encoding. Raises BadRequestError if that is not UTF-8.

    An overlong form, in which some decoders read a dot or slash, is not UTF-8 (RFC 3629 §3).
    """
    decoded = decode_fully(path)
    if "\N{REPLACEMENT CHARACTER}" in decoded:
        raise BadRequestError("The path is not UTF-8.")
    return decoded


def _count_separators(path: str) -> int:
    return path.count("/") + path.count("\\")


def has_dot_segment(path: str) -> bool:
    """Return whether a segment of `path` is `.` or `..`, in any encoding."""
    # Some servers cut parameters, a query or blanks off a segment before they look at its dots.
    return any(
        _SUFFIX.split(segment, maxsplit=1)[0].strip() in {".", ".."}
        for segment in re.split(r"[/\\]", decode_fully(path))
    )


def decode_fully(path: str) -> str:
    """Return `path` without any percent-encoding, also if it was encoded several times."""
    if "%" not in path or "%" not in (path := unquote(path)):
        return path
    # One more pass for each layer would be work that grows with the square of the length, so
    # each escape is decoded as soon as its last digit is there, which may complete another one.
    decoded = bytearray()
    for byte in path.encode("utf-8", "surrogatepass"):
        decoded.append(byte)
        while decoded[-3:-2] == b"%" and (match := _HEX_BYTE.fullmatch(decoded, len(decoded) - 2)):
            decoded[-3:] = bytes.fromhex(match[0].decode())
    return decoded.decode("utf-8", "replace")
