"""Which IP addresses may be contacted.

Not `ipaddress.is_global`: it calls 64:ff9b::a9fe:a9fe, ::127.0.0.1 and multicast global, and its answers differ between
releases of Python (CVE-2024-4032). The tables follow the IANA special-purpose registries (RFC 6890).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REASON: Final = "leads to an address that is not public"


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


_DENIED: Final = _networks(
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
    "168.63.129.16/32",  # the host of an Azure machine: a public address that is none
    "2001::/23",  # protocol assignments, Teredo, ORCHID
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)
_UNICAST: Final = IPv6Network("2000::/3")

# What no operator opens on purpose: a name that was opened may still be made to lead here.
_NEVER: Final = _networks(
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


def find_address_error(address: Address | str, *, allowed: bool = False) -> str | None:
    """Why `address` may not be contacted, or None.

    With `opened` (an operator allowed the target), only link-local, multicast, reserved and
    metadata addresses are refused. An address that carries another one is judged by both.
    """
    try:
        address = ip_address(address)
    except ValueError:
        return "leads to something that is no IP address"
    if getattr(address, "scope_id", None):
        return REASON  # A zone (fe80::1%eth0) is this machine's business.
    denied = _denied_when_opened if allowed else _denied
    return REASON if any(denied(reached) for reached in reached_by(address)) else None


def reached_by(address: Address) -> Iterator[Address]:
    """The addresses at which a packet to `address` may come out, by every way of wrapping IPv4."""
    if isinstance(address, IPv4Address):
        yield address
        return
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _MAPPED or address in _NAT64 or _is_compatible(address):
        yield last
        return
    if address in _LOCAL_NAT64:
        # RFC 8215 leaves open where the operator puts the IPv4 address. Where all but the last
        # 32 bits are zero, every other reading is in 0.0.0.0/8; where not, none can be trusted.
        yield last if not int(address) >> 32 & 0xFFFF_FFFF_FFFF else address
        return
    yield address
    if address.sixtofour:
        yield address.sixtofour
    yield from address.teredo or ()
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield last


def _is_compatible(address: IPv6Address) -> bool:
    # :: and ::1 are addresses of their own (RFC 4291 §2.5.5.1).
    return address in _COMPATIBLE and int(address) > 1


def _denied(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return True
    return any(address in network for network in _DENIED)


def _denied_when_opened(address: Address) -> bool:
    return any(address in network for network in _NEVER)
