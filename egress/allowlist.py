"""EGRESS_ALLOW: the targets that the operator allows in addition to public hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from egress.policy import find_address_error, find_host_name_error

AllowedTargets = frozenset[tuple[str, int]]
"""Pairs of host and port."""

_ENTRY: Final = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})", re.ASCII)


def allowed_targets() -> AllowedTargets:
    """Return the targets in the setting EGRESS_ALLOW, which is empty by default."""
    return parse_allowlist(getattr(settings, "EGRESS_ALLOW", ""))


def parse_allowlist(entries: str | Iterable[str]) -> AllowedTargets:
    """Return the targets in `entries`: `host:port`, separated by commas or in a list.

    Names are compared in lower case; IPv6 addresses are in brackets. There are no wildcards, no
    networks and no default port. Raises ImproperlyConfigured, naming the wrong entry.
    """
    if isinstance(entries, str):
        entries = entries.split(",") if entries.strip() else ()
    targets = set()
    for entry in entries:
        match = _ENTRY.fullmatch(entry.strip().lower())
        if match is None or int(match[2]) > 65_535 or not _is_allowed_host(match[1]):
            raise ImproperlyConfigured(
                f"EGRESS_ALLOW: {entry.strip().lower()!r} is not host:port. Write a DNS name or an"
                " IP address that is not link-local, a colon and a port; for example"
                " mail.corp.example:8025."
            )
        targets.add((match[1], int(match[2])))
    return frozenset(targets)


def _is_allowed_host(host: str) -> bool:
    has_brackets = host[0] == "["
    if not has_brackets and not host.rpartition(".")[2][:1].isdigit():
        return find_host_name_error(host) is None
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    # Each address has one spelling, so that comparing texts is comparing addresses.
    is_canonical = str(address) == host.strip("[]") and has_brackets == (address.version == 6)
    return is_canonical and find_address_error(address, allowed=True) is None
