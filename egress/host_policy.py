"""Which host names may be contacted, before anything is resolved."""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# Names that mean "here": of this machine (RFC 6761), its network (RFC 6762, RFC 8375, ICANN's `internal`), its cluster. Their
# addresses would be refused too; the name says so without asking a resolver that may answer anything.
_LOCAL: Final = ("localhost", "localdomain", "local", "internal", "home.arpa", "svc")
# Metadata services that have names outside of those (Tencent, Equinix); they are not always link-local.
_METADATA: Final = (
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
)
_DENIED: Final = (*_LOCAL, *_METADATA)


def find_public_host_error(name: str) -> str | None:
    """Why `name` is no public DNS name, or None.

    Lower case, two labels or more of letters, digits and inner hyphens (RFC 1123 §2.1), at most 253. An internationalised name is
    written in ASCII (`xn--…`, RFC 5891): the resolver reads other alphabets' digits (①②⑦) as an IP address. No top-level domain
    starts with a digit, so every spelling of an address (0x7f.1, 0177.0.0.1, 2130706433) fails on its last label.
    """
    if fault := find_host_name_error(name):
        return fault
    if "." not in name or name.rpartition(".")[2][0].isdigit():
        return "must be a DNS name such as api.example.com, not an IP address"
    if any(name == denied or name.endswith(f".{denied}") for denied in _DENIED):
        return "must not be a name of this network"
    return None


def find_host_name_error(name: str) -> str | None:
    """Like `host_fault`, but a name of any network: what EGRESS_ALLOW may open."""
    if not name.isascii():
        return "must be in ASCII; write an internationalised name as xn--…"
    if name.endswith("."):
        return "must not end with a dot"
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return "must be a DNS name: labels of letters, digits and inner hyphens, at most 253"
    return None
