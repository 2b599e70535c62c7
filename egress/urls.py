"""Strict parsing of URLs: a URL that two parsers could read differently is rejected, not repaired."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidInputError
from egress.policy import AllowedTargets, find_public_host_error

MAX_URL_LENGTH: Final = 8_192

_UNSAFE: Final = re.compile(r"[^\x21-\x7e]|[\\\"<>]")
_PARTS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<target>.*)", re.ASCII
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed URL. `host` is lower case; `target` (path and query) is unchanged."""

    scheme: str
    host: str
    port: int
    target: str

    def __repr__(self) -> str:
        return f"<Url {self.origin}>"  # The query may contain a key.

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The value of the Host header: it has the port unless it is the scheme's default."""
        is_default = self.port == _DEFAULT_PORTS[self.scheme]
        return self.host if is_default else f"{self.host}:{self.port}"


def parse_url(url: str, *, field: str = "url", allowed: AllowedTargets = frozenset()) -> Url:
    """Return the parts of `url`: https on port 443 of a public name, or a target in `allowed`.

    It must not have a user, fragment, IP address, space, control character, backslash or other
    character that parsers read differently; nothing is decoded, removed or corrected. Raises
    InvalidInputError for `field`, with a reason that repeats no part of the URL.
    """
    if len(url) > MAX_URL_LENGTH:
        raise InvalidInputError.for_field(field, f"must have at most {MAX_URL_LENGTH} characters")
    if _UNSAFE.search(url):
        raise InvalidInputError.for_field(
            field, 'must be visible ASCII without \\ " < >; percent-encode the rest'
        )
    if "#" in url:
        raise InvalidInputError.for_field(field, "must not have a fragment")
    parts = _PARTS.fullmatch(url)
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in _DEFAULT_PORTS:
        raise InvalidInputError.for_field(
            field, "must be an address such as https://api.example.com/path"
        )
    if "@" in parts["authority"]:
        raise InvalidInputError.for_field(field, "must not have a user or password before the host")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None or not authority["host"]:
        raise InvalidInputError.for_field(field, "must have a host, and no port or one of digits")
    host, port = authority["host"].lower(), int(authority["port"] or _DEFAULT_PORTS[scheme])
    if (host, port) not in allowed:
        _check_public(scheme, host, port, field)
    target = parts["target"]
    return Url(scheme, host, port, target if target.startswith("/") else f"/{target}")


def _check_public(scheme: str, host: str, port: int, field: str) -> None:
    """Raise InvalidInputError unless it is https on port 443 of a public name."""
    if scheme != "https":
        raise InvalidInputError.for_field(field, "must begin with https://")
    if error := find_public_host_error(host):
        raise InvalidInputError.for_field(field, f"the host {error}")
    if port != 443:
        raise InvalidInputError.for_field(field, "must not have a port other than 443")
