"""Policy for host names, applied before anything is resolved."""

from __future__ import annotations

import re
from typing import Final

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
_DENIED: Final = (*_LOCAL, *_METADATA)


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
    if any(name == denied or name.endswith(f".{denied}") for denied in _DENIED):
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
