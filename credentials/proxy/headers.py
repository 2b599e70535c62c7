"""Which headers pass, both ways (RFC 9110 §7.6.1), and addresses in them that must lead here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urljoin

from credentials.proxy.target import has_dot_segment

HeaderList = list[tuple[str, str]]

_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"}
    | {"te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}
)
# Framed and addressed anew, or about the caller and whoever is in front of us.
_NOT_UP: Final = _HOP | {
    *("host", "content-length", "accept-encoding", "expect"),
    *("authorization", "cookie", "referer", "forwarded", "via", "x-real-ip"),
    *("client-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-cluster-client-ip"),
    # Some servers take the path from these: it would be another than the one that was checked.
    *("x-original-url", "x-rewrite-url", "x-original-host", "x-host"),
}
METHOD_OVERRIDE_HEADERS: Final = ("x-http-method-override", "x-http-method", "x-method-override")
"""Headers by which some servers take another method than the request's."""

# The provider's word on what browsers may do at its host, which would hold for ours; its own
# sessions and log-ins; and what our server says by itself.
_NOT_DOWN: Final = _HOP | {
    *("set-cookie", "set-cookie2", "www-authenticate", "authentication-info"),
    *("strict-transport-security", "alt-svc", "clear-site-data", "public-key-pins", "nel"),
    *("report-to", "reporting-endpoints", "content-security-policy", "service-worker-allowed"),
    *("date", "server", "cache-control", "x-content-type-options", "latchkey-request-id"),
    # Orders to the server in front of us: to send a file or another of its locations, or to keep
    # an answer for everybody.
    *("x-sendfile", "x-lighttpd-send-file", "x-litespeed-location", "x-reproxy-url"),
    *("surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "edge-control"),
}
_ACCEL: Final = "x-accel-"
_ADDRESSES: Final = frozenset({"location", "content-location", "link"})
_OURS: Final = (
    # Opened in a browser, an answer must not act in the name of this host's pages.
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)

_SHARED: Final = frozenset({"public", "s-maxage", "proxy-revalidate"})
_UNSHARED: Final = frozenset({"private", "no-store"})

_ABSOLUTE: Final = re.compile(r"(?:(https?):)?//([^/?#]*)(.*)", re.IGNORECASE)
_OTHER_SCHEME: Final = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# What some clients read as relative, or as another path than it is.
_AMBIGUOUS: Final = re.compile(r"https?:(?!//)|.*\\", re.IGNORECASE)
_IN_LINK: Final = re.compile(r"<([^<>]*)>")

BLANK_URL: Final = "about:blank"


def filter_request_headers(environ: Mapping[str, Any], *, excluded: Iterable[str]) -> HeaderList:
    """The caller's headers that go on; `without` (lower case) are this provider's own for keys."""
    named = _named_by_connection(str(environ.get("HTTP_CONNECTION", "")))
    dropped = _NOT_UP | set(excluded) | named
    pairs = []
    for key, value in environ.items():
        if not key.startswith("HTTP_") and key != "CONTENT_TYPE":
            continue
        name = key.removeprefix("HTTP_").replace("_", "-").lower()
        if name not in dropped and not name.startswith("x-forwarded-") and value != "":
            pairs.append((name.title(), str(value)))
    return pairs


def select_encodings(environ: Mapping[str, Any]) -> str:
    """Those of the caller's encodings that we can look into, as a secret may come back in any.

    Part of a compressed body tells nothing, so a range is asked for as it is.
    """
    if environ.get("HTTP_RANGE"):
        return "identity"
    offered = str(environ.get("HTTP_ACCEPT_ENCODING", "")).lower().split(",")
    names = {
        part.partition(";")[0].strip()
        for part in offered
        if not re.search(r";\s*q=0(\.0*)?\s*$", part)
    }
    chosen = [name for name in ("gzip", "deflate") if name in names or "*" in names]
    return ", ".join(chosen) or "identity"


def filter_response_headers(
    headers: Iterable[tuple[str, str]],
    *,
    rewrite_url: Callable[[str], str],
    mask_value: Callable[[str], str],
) -> HeaderList:
    """The answer's headers that go on: addresses by `rewrite`, and every value by `clean`."""
    given = list(headers)
    named = _named_by_connection(",".join(v for n, v in given if n.lower() == "connection"))
    pairs: HeaderList = [("Cache-Control", mask_value(_cache_control(given)))]
    for name, value in given:
        lower = name.lower()
        if lower in _NOT_DOWN or lower in named or lower.startswith(_ACCEL):
            continue
        if lower == "link":
            value = _IN_LINK.sub(lambda found: f"<{rewrite_url(found[1])}>", value)
        elif lower in _ADDRESSES:
            value = rewrite_url(value)
        pairs.append((name.title(), mask_value(value)))
    return [*pairs, *_OURS]


def _cache_control(headers: Iterable[tuple[str, str]]) -> str:
    """The provider's, but never for a cache that callers share (RFC 9111 §3.5): ours have one URL."""
    given = ",".join(value for name, value in headers if name.lower() == "cache-control")
    if not given or '"' in given:
        return "no-store"
    parts = [part.strip() for part in given.split(",") if part.strip()]
    names = {part.partition("=")[0].lower() for part in parts}
    kept = [part for part in parts if part.partition("=")[0].lower() not in _SHARED]
    return ", ".join(kept if names & _UNSHARED else ["private", *kept])


class UrlRewriter:
    """Turns addresses below the provider's base URL into ours.

    `base_url` is where requests go, `here` what stands for it: our origin and the route's prefix.
    `asked` is the URL that the answer is of; what is relative is made absolute by it, as it would lead to
    another of our paths (`/v1/credentials` …), whither clients take their token. All others are
    left alone, but for those at our own host, which no provider has to name: these become NOWHERE.
    """

    def __init__(self, base_url: str, here: str, asked: str) -> None:
        self._scheme, self._host, path = _split(base_url)
        self._path = path.rstrip("/")
        self._here = here
        self._our_host = _split(here)[1]
        self._asked = asked

    def __call__(self, address: str) -> str:
        address = address.strip(" \t").replace("\t", "")  # As clients read it (WHATWG URL §4.4).
        if _AMBIGUOUS.match(address):
            return BLANK_URL
        if not address or _OTHER_SCHEME.match(address):
            return address
        if not _ABSOLUTE.fullmatch(address):
            address = urljoin(self._asked, address)
        scheme, host, rest = _split(address, self._scheme)
        if (scheme, host) == (self._scheme, self._host) and self._is_below(rest):
            return self._here + rest[len(self._path) :]
        return BLANK_URL if host == self._our_host else address

    def _is_below(self, rest: str) -> bool:
        after = rest[len(self._path) :]
        begins = rest.startswith(self._path) and (not after or after[0] in "/?#")
        return begins and not has_dot_segment(re.split("[?#]", rest)[0])


def _split(url: str, scheme: str = "https") -> tuple[str, str, str]:
    """The scheme, the host without a user or a default port, and the rest. ValueError where it is relative."""
    found = _ABSOLUTE.fullmatch(url)
    if found is None:
        raise ValueError("this is no absolute URL")
    scheme = (found[1] or scheme).lower()
    host = found[2].rpartition("@")[2].lower()
    return scheme, host.removesuffix(":443" if scheme == "https" else ":80"), found[3]


def _named_by_connection(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")} - {""}
