"""EGRESS_ALLOW: the targets that an operator opens on purpose, each as `host:port`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from egress.host_policy import find_host_name_error
from egress.ip_policy import find_address_error

AllowedTargets = frozenset[tuple[str, int]]

_ENTRY: Final = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})", re.ASCII)


def allowed_targets() -> AllowedTargets:
    """The targets of the setting EGRESS_ALLOW; without it, none."""
    return parse_allowlist(getattr(settings, "EGRESS_ALLOW", ""))


def parse_allowlist(entries: str | Iterable[str]) -> AllowedTargets:
    """The targets in `entries` (`host:port`, with commas or a list), lower case; IPv6 in brackets.

    Exact matches only: no wildcards, no networks, no default port. Raises ImproperlyConfigured
    naming the variable and the entry: it is an operator's, and no secret.
    """
    if isinstance(entries, str):
        entries = entries.split(",") if entries.strip() else ()
    return frozenset(_target(entry.strip().lower()) for entry in entries)


def _target(entry: str) -> tuple[str, int]:
    found = _ENTRY.fullmatch(entry)
    if found is None or int(found[2]) > 65_535 or _host_fault(found[1]):
        raise ImproperlyConfigured(
            f"EGRESS_ALLOW: {entry!r} is not host:port. Write a DNS name or an IP address that is"
            " not link-local, a colon and a port; for example mail.corp.example:8025."
        )
    return found[1], int(found[2])


def _host_fault(host: str) -> bool:
    if host[0] == "[" or host.rpartition(".")[2][:1].isdigit():
        return _literal_fault(host.strip("[]"), brackets=host[0] == "[")
    return find_host_name_error(host) is not None


def _literal_fault(text: str, *, brackets: bool) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return True
    # One spelling of each address, so that matching text is matching addresses.
    canonical = str(address) == text and brackets == (address.version == 6)
    return not canonical or find_address_error(address, allowed=True) is not None
