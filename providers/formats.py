"""The formats of strings in properties and configuration.

Each function returns why a value does not have the format, or None if it does. A reason never
repeats the value, which may be a secret that was put into the wrong field.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(.+)", re.ASCII)
_ORIGIN: Final = re.compile(r"https://([A-Za-z0-9.-]+)(?::443)?/?", re.ASCII)
_BASE_URL: Final = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?((?:/[A-Za-z0-9._~-]+)*)/?",
    re.ASCII,
)
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)


def find_dns_label_error(value: str) -> str | None:
    """Return why `value` is not one DNS label of at most 63 characters (RFC 1123 §2.1), or None."""
    if _LABEL.fullmatch(value):
        return None
    return "must be one DNS label: letters, digits and inner hyphens, at most 63"


def find_dns_labels_error(value: str) -> str | None:
    """Return why `value` is not up to six DNS labels with dots between them, or None."""
    labels = value.split(".")
    if len(labels) <= 6 and len(value) <= 190 and not any(map(find_dns_label_error, labels)):
        return None
    return "must be DNS labels with dots between them: letters, digits and inner hyphens"


def find_path_segment_error(value: str) -> str | None:
    """Return why `value` is not one segment of a path that every parser reads alike, or None."""
    if _SEGMENT.fullmatch(value):
        return None
    return "must be letters, digits, hyphens and underscores, at most 63"


def find_host_error(value: str) -> str | None:
    """Return why `value` is not a DNS name of two or more labels, or None."""
    labels = value.split(".")
    if len(value) > 253 or len(labels) < 2 or any(find_dns_label_error(label) for label in labels):
        return "must be a DNS name such as acme.example.com"
    # 127.0.0.0x1 is an IP address to some resolvers, and no top-level domain starts with a digit.
    if labels[-1][0].isdigit():
        return "must be a DNS name, not an IP address"
    return None


def find_origin_error(value: str) -> str | None:
    """Return why `value` is not an https origin on the default port, or None."""
    match = _ORIGIN.fullmatch(value)
    if match is None:
        return "must be an https address with a host alone, such as https://acme.example.com"
    return find_host_error(match[1])


def find_base_url_error(value: str) -> str | None:
    """Return why `value` does not have the form of a base URL, or None.

    It may have a port, a path and, of a target in EGRESS_ALLOW, http. egress alone decides if
    requests may go there.
    """
    match = _BASE_URL.fullmatch(value) if len(value) <= 200 else None
    if match is None or {".", ".."} & set(match[1].split("/")):
        return "must be the address of a server, such as https://git.example.com or https://example.com/git"
    return None


def find_email_error(value: str) -> str | None:
    """Return why `value` is not an e-mail address without quotes, comments or literals, or None."""
    match = _EMAIL.fullmatch(value)
    if match is None or len(value) > 254 or find_host_error(match[1]):
        return "must be an e-mail address"
    return None


def find_date_time_error(value: str) -> str | None:
    """Return why `value` is not a date and time of RFC 3339 in the years 1 to 9999 (UTC), or None."""
    if not _DATE_TIME.fullmatch(value):
        return "must be a date and time with its offset, such as 2026-11-21T09:30:00Z"
    try:
        # RFC 3339 allows more than six digits of a second, Python does not.
        dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return "must be a date and time that the calendar has"
    return None


def get_host(value: str) -> str:
    """Return the host of a URL, or a bare host name, in lower case, without port and final dot."""
    netloc = urlsplit(value).netloc if "://" in value else value
    return netloc.rpartition("@")[2].partition(":")[0].rstrip(".").lower()


def find_domain_error(value: str, domains: tuple[str, ...]) -> str | None:
    """Return why the host of `value` is not one of `domains` or a subdomain of one, or None."""
    host = get_host(value)
    if any(host == domain or host.endswith(f".{domain}") for domain in domains):
        return None
    return f"must be a host of {' or '.join(domains)}"


FORMATS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "date-time": find_date_time_error,
    "uri": find_origin_error,
    "email": find_email_error,
    "host": find_host_error,
    "label": find_dns_label_error,
    "segment": find_path_segment_error,
}
