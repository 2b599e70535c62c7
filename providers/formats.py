"""The formats of strings in properties and configuration: why a value is not one, or None.

Reasons are whole sentences without the value: it may be a secret that was put in the wrong field.
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
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)


def find_dns_label_error(value: str) -> str | None:
    """One DNS label: letters, digits and inner hyphens, at most 63 (RFC 1123 §2.1)."""
    if _LABEL.fullmatch(value):
        return None
    return "must be one DNS label: letters, digits and inner hyphens, at most 63"


def find_path_segment_error(value: str) -> str | None:
    """One segment of a URL's path that no reader takes for anything else."""
    if _SEGMENT.fullmatch(value):
        return None
    return "must be letters, digits, hyphens and underscores, at most 63"


def find_host_error(value: str) -> str | None:
    """A DNS name of two labels or more. The last has a letter, so that no IP address passes."""
    labels = value.split(".")
    if len(value) > 253 or len(labels) < 2 or any(find_dns_label_error(label) for label in labels):
        return "must be a DNS name such as acme.example.com"
    # 127.0.0.0x1 is an IP address to some resolvers, and no top-level domain starts with a digit.
    if labels[-1][0].isdigit():
        return "must be a DNS name, not an IP address"
    return None


def find_origin_error(value: str) -> str | None:
    """An https address with a host alone: no user, no other port, no path, query or fragment."""
    found = _ORIGIN.fullmatch(value)
    if found is None:
        return "must be an https address with a host alone, such as https://acme.example.com"
    return find_host_error(found[1])


def email_fault(value: str) -> str | None:
    """An address as people have them: no quotes, no comments, no address literals."""
    found = _EMAIL.fullmatch(value)
    if found is None or len(value) > 254 or find_host_error(found[1]):
        return "must be an e-mail address"
    return None


def date_time_fault(value: str) -> str | None:
    """RFC 3339 with its offset, on the calendar, in years 1 to 9999 once it is in UTC."""
    if not _DATE_TIME.fullmatch(value):
        return "must be a date and time with its offset, such as 2026-11-21T09:30:00Z"
    try:
        # More than six digits of a second are RFC 3339, but not Python's before rounding.
        dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return "must be a date and time that the calendar has"
    return None


def get_host(value: str) -> str:
    """The host in an address or a bare host name: lower case, no port, no trailing dot."""
    netloc = urlsplit(value).netloc if "://" in value else value
    return netloc.rpartition("@")[2].partition(":")[0].rstrip(".").lower()


def find_domain_error(value: str, domains: tuple[str, ...]) -> str | None:
    """Why the host of `value` is none of `domains` nor below one, or None."""
    host = get_host(value)
    if any(host == domain or host.endswith(f".{domain}") for domain in domains):
        return None
    return f"must be a host of {' or '.join(domains)}"


FORMATS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "date-time": date_time_fault,
    "uri": find_origin_error,
    "email": email_fault,
    "host": find_host_error,
    "label": find_dns_label_error,
    "segment": find_path_segment_error,
}
