"""IP addresses as the unit that limits count."""

from __future__ import annotations

import ipaddress


def get_network(address: str) -> str:
    """Return the address, or the /64 of an IPv6 address, which one subscriber has (RFC 6177)."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return address
    # A server that listens on IPv6 sees IPv4 clients like this, all in one /64.
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
