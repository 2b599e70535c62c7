"""Policy for outbound hosts: for their names before anything is resolved, and for their addresses.

The addresses are those of the IANA special-purpose registries (RFC 6890). `ipaddress.is_global` is
not used: it calls 64:ff9b::a9fe:a9fe, ::127.0.0.1 and multicast global, and its results differ
between releases of Python (CVE-2024-4032).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

AllowedTargets = frozenset[tuple[str, int]]
"""Pairs of host and port."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REASON: Final = "resolves to an address that is not public"

_ENTRY: Final = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})", re.ASCII)

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# Names of this machine (RFC 6761), its network (RFC 6762, RFC 8375, ICANN's `internal`) and its
# cluster. Their addresses would be rejected too, but a resolver may return any address for them.
_LOCAL: Final = ("localhost", "localdomain", "local", "internal", "home.arpa", "svc")
# Metadata services with other names (Tencent, Equinix); their addresses are not always link-local.
_METADATA: Final = (
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
)
_DENIED_NAMES: Final = (*_LOCAL, *_METADATA)


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_DENIED_NETWORKS: Final = _networks(
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata service
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local, and most clouds' metadata service
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # protocol assignments, and Oracle's metadata service
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT relays
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",  # private
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "168.63.129.16/32",  # the host of an Azure machine, in a public range
    "2001::/23",  # protocol assignments, Teredo, ORCHID
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)
_UNICAST: Final = IPv6Network("2000::/3")

# Never allowed, not even for a target in EGRESS_ALLOW: an attacker who controls the DNS of that name could
# make it resolve to these.
_NEVER_ALLOWED: Final = _networks(
    "0.0.0.0/8",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "192.0.0.192/32",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "fd00:ec2::254/128",
    "fe80::/10",
    "ff00::/8",
)

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
# ::0:5efe:a.b.c.d or ::200:5efe:a.b.c.d in the last 64 bits (RFC 5214 §6.1).
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def find_public_host_error(name: str) -> str | None:
    """Return why `name` is not a public DNS name, or None if it is one.

    It must be lower case, with two or more labels of letters, digits and inner hyphens (RFC 1123
    §2.1), 253 characters at most. An internationalised name is written in ASCII (`xn--…`, RFC 5891),
    because the resolver reads the digits of other alphabets (①②⑦) as an IP address.
    """
    if error := find_host_name_error(name):
        return error
    # No top-level domain starts with a digit, so this rejects every spelling of an IPv4 address:
    # 0x7f.1, 0177.0.0.1, 2130706433.
    if "." not in name or name.rpartition(".")[2][0].isdigit():
        return "must be a DNS name such as api.example.com, not an IP address"
    if any(name == denied or name.endswith(f".{denied}") for denied in _DENIED_NAMES):
        return "must not be a name of the local network"
    return None


def find_host_name_error(name: str) -> str | None:
    """Return why `name` is not a host name that EGRESS_ALLOW may contain, or None.

    Unlike a public name, it may have one label and belong to the local network.
    """
    if not name.isascii():
        return "must be in ASCII; write an internationalised name as xn--…"
    if name.endswith("."):
        return "must not end with a dot"
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return "must be a DNS name: labels of letters, digits and inner hyphens, at most 253"
    return None


def find_address_error(address: Address | str, *, allowed: bool = False) -> str | None:
    """Return why `address` may not be contacted, or None if it may.

    With `allowed` (the operator allows the target), only link-local, multicast, reserved and
    metadata addresses are rejected. An address that embeds another one is checked with both.
    """
    try:
        address = ip_address(address)
    except ValueError:
        return "resolves to something that is not an IP address"
    if getattr(address, "scope_id", None):
        return REASON  # Only this machine knows what a zone (fe80::1%eth0) means.
    for destination in find_destinations(address):
        if any(
            destination in network for network in (_NEVER_ALLOWED if allowed else _DENIED_NETWORKS)
        ):
            return REASON
        # All IPv6 addresses outside of 2000::/3 are reserved.
        if not allowed and destination.version == 6 and destination not in _UNICAST:
            return REASON
    return None


def find_destinations(address: Address) -> Iterator[Address]:
    """Yield the addresses that a packet to `address` may reach, for every way to embed IPv4."""
    if isinstance(address, IPv4Address):
        yield address
        return
    embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
    # :: and ::1 are in the compatible range, but embed nothing (RFC 4291 §2.5.5.1).
    is_compatible = address in _COMPATIBLE and int(address) > 1
    if address in _MAPPED or address in _NAT64 or is_compatible:
        yield embedded
        return
    if address in _LOCAL_NAT64:
        # The operator chooses the position of the IPv4 address (RFC 8215). If all but the last 32
        # bits are zero, every other position gives an address in 0.0.0.0/8. Otherwise no position
        # can be trusted.
        yield embedded if not int(address) >> 32 & 0xFFFF_FFFF_FFFF else address
        return
    yield address
    if address.sixtofour:
        yield address.sixtofour
    yield from address.teredo or ()
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield embedded


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
