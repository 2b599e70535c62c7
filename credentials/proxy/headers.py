"""Which headers pass, both ways (RFC 9110 §7.6.1), and addresses in them that must lead here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Pairs = list[tuple[str, str]]

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
OVERRIDES: Final = ("x-http-method-override", "x-http-method", "x-method-override")
"""Headers by which some servers take another method than the request's."""

# The provider's word on what browsers may do at its host, which would hold for ours; its own
# sessions and log-ins; and what our server says by itself.
_NOT_DOWN: Final = _HOP | {
    *("set-cookie", "set-cookie2", "www-authenticate", "authentication-info"),
    *("strict-transport-security", "alt-svc", "clear-site-data", "public-key-pins", "nel"),
    *("report-to", "reporting-endpoints", "content-security-policy", "service-worker-allowed"),
    *("date", "server", "x-content-type-options", "latchkey-request-id"),
}
_ADDRESSES: Final = frozenset({"location", "content-location", "link"})
_OURS: Final = (
    # Opened in a browser, an answer must not act in the name of this host's pages.
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)

_ABSOLUTE: Final = re.compile(r"(?:(https?):)?//([^/?#]*)(.*)", re.IGNORECASE)
_IN_LINK: Final = re.compile(r"<([^<>]*)>")


def to_upstream(environ: Mapping[str, Any], *, without: Iterable[str]) -> Pairs:
    """The caller's headers that go on; `without` (lower case) are this provider's own for keys."""
    named = _named_by_connection(str(environ.get("HTTP_CONNECTION", "")))
    dropped = _NOT_UP | set(without) | named
    pairs = []
    for key, value in environ.items():
        if not key.startswith("HTTP_") and key != "CONTENT_TYPE":
            continue
        name = key.removeprefix("HTTP_").replace("_", "-").lower()
        if name not in dropped and not name.startswith("x-forwarded-") and value != "":
            pairs.append((name.title(), str(value)))
    return pairs


def encodings(environ: Mapping[str, Any]) -> str:
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


def to_caller(
    headers: Iterable[tuple[str, str]],
    *,
    rewrite: Callable[[str], str],
    clean: Callable[[str], str],
) -> Pairs:
    """The answer's headers that go on: addresses by `rewrite`, and every value by `clean`."""
    given = list(headers)
    named = _named_by_connection(",".join(v for n, v in given if n.lower() == "connection"))
    pairs: Pairs = []
    for name, value in given:
        lower = name.lower()
        if lower in _NOT_DOWN or lower in named:
            continue
        if lower == "link":
            value = _IN_LINK.sub(lambda found: f"<{rewrite(found[1])}>", value)
        elif lower in _ADDRESSES:
            value = rewrite(value)
        pairs.append((name.title(), clean(value)))
    if not any(name == "Cache-Control" for name, _ in pairs):
        pairs.append(("Cache-Control", "no-store"))
    return [*pairs, *_OURS]


class Addresses:
    """Turns addresses below the provider's base URL into ours, and leaves all others alone.

    `base_url` is where requests go, `here` what stands for it: our origin and the route's prefix.
    """

    def __init__(self, base_url: str, here: str) -> None:
        found = _ABSOLUTE.fullmatch(base_url)
        if found is None:
            raise ValueError("base_url is no absolute URL")
        self._scheme = (found[1] or "https").lower()
        self._host = self._plain_host(found[2], self._scheme)
        self._path = found[3].rstrip("/")
        self._here = here

    def __call__(self, address: str) -> str:
        found = _ABSOLUTE.fullmatch(address)
        if found is None:
            rest = address if address.startswith("/") else None
        else:
            scheme = (found[1] or self._scheme).lower()
            ours = (scheme, self._plain_host(found[2], scheme)) == (self._scheme, self._host)
            rest = found[3] if ours else None
        if rest is None or not self._is_below(rest):
            return address
        return self._here + rest[len(self._path) :]

    def _is_below(self, rest: str) -> bool:
        after = rest[len(self._path) :]
        return rest.startswith(self._path) and (not after or after[0] in "/?#")

    @staticmethod
    def _plain_host(host: str, scheme: str) -> str:
        return host.lower().removesuffix(":443" if scheme == "https" else ":80")


def _named_by_connection(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")} - {""}
