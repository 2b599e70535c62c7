"""The headers that are forwarded, in both directions (RFC 9110 §7.6.1), and URLs in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urljoin

from credentials.proxy.target import has_dot_segment

HeaderList = list[tuple[str, str]]

Environ = Mapping[str, Any]
"""A WSGI environ, as PEP 3333 describes it."""

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"}
    | {"te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}
)
# These are set again for the new connection, or are about the caller and the proxies before us.
_DROPPED_FROM_REQUEST: Final = _HOP_BY_HOP | {
    *("host", "content-length", "accept-encoding", "expect"),
    *("authorization", "cookie", "referer", "forwarded", "via", "x-real-ip"),
    *("client-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-cluster-client-ip"),
    # Some servers take the path from these. It would be another path than the one that was checked.
    *("x-original-url", "x-rewrite-url", "x-original-host", "x-host"),
}
METHOD_OVERRIDE_HEADERS: Final = (
    *("x-http-method-override", "x-http-method", "x-method-override", "x-http-methodoverride"),
    *("x-http-verb", "x-http-verb-override", "x-verb", "x-verb-override", "x-method"),
    *("x-original-method", "x-rewrite-method", "x-request-method", "x-forwarded-method"),
    *("http-method-override", "method-override", "http-method", "x-original-http-method"),
)
"""Headers by which some servers take another method than the request's."""

# These would apply to this host instead of the provider's, belong to the provider's own sessions and
# logins, or are set by our server.
_DROPPED_FROM_RESPONSE: Final = _HOP_BY_HOP | {
    *("set-cookie", "set-cookie2", "www-authenticate", "authentication-info"),
    *("strict-transport-security", "alt-svc", "clear-site-data", "public-key-pins", "nel"),
    *("report-to", "reporting-endpoints", "content-security-policy", "service-worker-allowed"),
    *("date", "server", "cache-control", "x-content-type-options", "latchkey-request-id"),
    # Instructions to the server in front of us: to send a file or another of its locations, or to
    # cache a response for all callers.
    *("x-sendfile", "x-lighttpd-send-file", "x-litespeed-location", "x-reproxy-url"),
    *("surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "edge-control"),
}
_ACCEL_PREFIX: Final = "x-accel-"
_URL_HEADERS: Final = frozenset({"location", "content-location", "link"})
_ADDED_HEADERS: Final = (
    # A response that is opened in a browser must not act as a page of this host.
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)

_SHARED_CACHING: Final = frozenset({"public", "s-maxage", "proxy-revalidate"})
_PRIVATE_CACHING: Final = frozenset({"private", "no-store"})

_ABSOLUTE_URL: Final = re.compile(r"(?:(https?):)?//([^/?#]*)(.*)", re.IGNORECASE)
_OTHER_SCHEME: Final = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# Some clients read these as relative, or as another path.
_AMBIGUOUS_URL: Final = re.compile(r"https?:(?!//)|.*\\", re.IGNORECASE)
_LINK_TARGET: Final = re.compile(r"<([^<>]*)>")

BLANK_URL: Final = "about:blank"


def filter_request_headers(environ: Environ, *, excluded: Iterable[str]) -> HeaderList:
    """Return the caller's headers for the provider.

    `excluded` (lower case) are those in which this provider expects its keys.
    """
    dropped = (
        _DROPPED_FROM_REQUEST
        | set(excluded)
        | _split_connection_header(str(environ.get("HTTP_CONNECTION", "")))
    )
    pairs = []
    for key, value in environ.items():
        if not key.startswith("HTTP_") and key != "CONTENT_TYPE":
            continue
        name = key.removeprefix("HTTP_").replace("_", "-").lower()
        if name not in dropped and not name.startswith("x-forwarded-") and value != "":
            pairs.append((name.title(), str(value)))
    return pairs


def select_encodings(environ: Environ) -> str:
    """Return the Accept-Encoding for the provider: the caller's encodings that can be inspected."""
    # A part of a compressed body cannot be inspected.
    if environ.get("HTTP_RANGE"):
        return "identity"
    offered = str(environ.get("HTTP_ACCEPT_ENCODING", "")).lower().split(",")
    accepted = {
        part.partition(";")[0].strip()
        for part in offered
        if not re.search(r";\s*q=0(\.0*)?\s*$", part)
    }
    selected = [name for name in ("gzip", "deflate") if name in accepted or "*" in accepted]
    return ", ".join(selected) or "identity"


def filter_response_headers(
    headers: Iterable[tuple[str, str]],
    *,
    rewrite_url: Callable[[str], str],
    mask_value: Callable[[str], str],
) -> HeaderList:
    """Return the provider's headers for the caller, with rewritten URLs and masked values."""
    pairs = list(headers)
    hop_by_hop = _split_connection_header(
        ",".join(value for name, value in pairs if name.lower() == "connection")
    )
    result: HeaderList = [("Cache-Control", mask_value(_build_cache_control(pairs)))]
    for name, value in pairs:
        lower = name.lower()
        if (
            lower in _DROPPED_FROM_RESPONSE
            or lower in hop_by_hop
            or lower.startswith(_ACCEL_PREFIX)
        ):
            continue
        if lower == "link":
            value = _LINK_TARGET.sub(lambda match: f"<{rewrite_url(match[1])}>", value)
        elif lower in _URL_HEADERS:
            value = rewrite_url(value)
        result.append((name.title(), mask_value(value)))
    return [*result, *_ADDED_HEADERS]


def _build_cache_control(headers: Iterable[tuple[str, str]]) -> str:
    """Return the provider's Cache-Control, without permission for a shared cache (RFC 9111 §3.5).

    All callers use the same URLs.
    """
    value = ",".join(value for name, value in headers if name.lower() == "cache-control")
    # A quoted value may contain commas; no common directive needs one.
    if not value or '"' in value:
        return "no-store"
    directives = [part.strip() for part in value.split(",") if part.strip()]
    names = {directive.partition("=")[0].lower() for directive in directives}
    kept = [
        directive
        for directive in directives
        if directive.partition("=")[0].lower() not in _SHARED_CACHING
    ]
    return ", ".join(kept if names & _PRIVATE_CACHING else ["private", *kept])


class UrlRewriter:
    """Rewrites URLs below the provider's base URL to the proxy.

    `our_base_url` replaces `base_url`: our origin and the prefix of the route. Relative URLs are
    resolved by `request_url` first, because they would lead to other paths of this host
    (`/v1/credentials` …), to which clients send their token. URLs at our own host become BLANK_URL,
    because no provider has a reason to name them. All others stay as they are.
    """

    def __init__(self, base_url: str, our_base_url: str, request_url: str) -> None:
        self._scheme, self._host, path = _split_url(base_url)
        self._path = path.rstrip("/")
        self._our_base_url = our_base_url
        self._our_host = _split_url(our_base_url)[1]
        self._request_url = request_url

    def __call__(self, url: str) -> str:
        # As clients read it (WHATWG URL §4.4).
        url = url.strip(" \t").replace("\t", "")
        if _AMBIGUOUS_URL.match(url):
            return BLANK_URL
        if not url or _OTHER_SCHEME.match(url):
            return url
        if not _ABSOLUTE_URL.fullmatch(url):
            url = urljoin(self._request_url, url)
        scheme, host, rest = _split_url(url, self._scheme)
        if (scheme, host) == (self._scheme, self._host) and self._is_below_base(rest):
            return self._our_base_url + rest[len(self._path) :]
        return BLANK_URL if host == self._our_host else url

    def _is_below_base(self, rest: str) -> bool:
        after = rest[len(self._path) :]
        starts_below = rest.startswith(self._path) and (not after or after[0] in "/?#")
        return starts_below and not has_dot_segment(re.split("[?#]", rest)[0])


def _split_url(url: str, scheme: str = "https") -> tuple[str, str, str]:
    """Return the scheme, the host without a user or a default port, and the rest.

    `scheme` is for a URL without one. Raises ValueError for a relative URL.
    """
    match = _ABSOLUTE_URL.fullmatch(url)
    if match is None:
        raise ValueError("the URL is not absolute")
    scheme = (match[1] or scheme).lower()
    host = match[2].rpartition("@")[2].lower()
    return scheme, host.removesuffix(":443" if scheme == "https" else ":80"), match[3]


def _split_connection_header(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")} - {""}
