"""IP policy: every range with its edges, plain and embedded in IPv6."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.policy import find_address_error
from tests.egress.tables import split_words

DENIED_V4 = split_words("""
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
    198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
""")
DENIED_V6 = split_words("""
    ::/128 ::1/128 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 4000::/3 5f00::/16 fc00::/7
    fe80::/10 fec0::/10 ff00::/8
""")


def edges(texts: list[str]) -> list[str]:
    networks = [ip_network(text) for text in texts]
    return [str(edge) for network in networks for edge in (network[0], network[-1])]


def neighbours(texts: list[str]) -> list[str]:
    """The address before and after each range that no other range has."""
    networks = [ip_network(text) for text in texts]
    found = []
    for network in networks:
        for number in (int(network[0]) - 1, int(network[-1]) + 1):
            if 0 < number < 2**32:
                address = IPv4Address(number)
                if not any(address in other for other in networks):
                    found.append(str(address))
    return found


METADATA = split_words("""
    169.254.169.254 169.254.170.2 169.254.0.23 100.100.100.200 192.0.0.192 168.63.129.16
    fd00:ec2::254 fe80::a9fe:a9fe
""")

# Addresses that Python's is_global accepts in one release or another, and other local addresses.
MISLEADING = split_words("""
    64:ff9b::a9fe:a9fe ::127.0.0.1 fec0::1 2002:7f00:1:: 2002:a9fe:a9fe:: 64:ff9b:1::a9fe:a9fe
    64:ff9b:1::7f00:1 239.255.255.250 224.0.0.1 255.255.255.255 ff02::1 ff0e::1 ::ffff:127.0.0.1
    ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::ffff:0:a9fe:a9fe 2001:0:7f00:1::80ff:fffe
    2001:0:4136:e378:8000:63bf:3fff:fdd2 2002:c0a8:101::1 64:ff9b::10.0.0.1 ::10.1.2.3
    2606:4700::5efe:7f00:1 2606:4700::200:5efe:a9fe:a9fe fe80::5efe:c0a8:1 2001:db8::1
    64:ff9b:1:a9fe:a9:fe00:808:808 64:ff9b:1:7f:0:100:: 64:ff9b:2::1 0.0.0.0 :: ::1
    fe80::1%eth0 2606:4700::1%1 fd12:3456:789a::1 fc00::1 100:0:0:1::1 5f00::1
""")

WRAPPERS = {
    "mapped": lambda v4: IPv6Address(0xFFFF << 32 | int(v4)),
    "compatible": lambda v4: IPv6Address(int(v4)),
    "nat64": lambda v4: IPv6Address(0x64FF9B << 96 | int(v4)),
    "local nat64": lambda v4: IPv6Address(0x64FF9B0001 << 80 | int(v4)),
    "6to4": lambda v4: IPv6Address(0x2002 << 112 | int(v4) << 80),
    "teredo": lambda v4: IPv6Address(0x20010000 << 96 | int(v4) ^ 0xFFFFFFFF),
    "teredo server": lambda v4: IPv6Address(0x20010000 << 96 | int(v4) << 64 | 0xF7F7F7F7),
    "isatap": lambda v4: IPv6Address(0x26064700 << 96 | 0x5EFE << 32 | int(v4)),
    "isatap global": lambda v4: IPv6Address(0x26064700 << 96 | 0x2005EFE << 32 | int(v4)),
}
REFUSED = [*edges(DENIED_V4), *edges(DENIED_V6), *METADATA, *MISLEADING]
WRAPPED = [
    (name, v4) for name in WRAPPERS for v4 in [*edges(DENIED_V4), "169.254.169.254", "127.0.0.1"]
]
PUBLIC_V4 = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "223.255.255.255", *neighbours(DENIED_V4)]
PUBLIC_V6 = split_words("""
    2000::1 2001:200::1 2001:4860:4860::8888 2003::1 2606:4700:4700::1111 2a00:1450::200e 2620:0:2d0::1
    2001:db7:ffff::1 2001:db9::1 2001:ffff::1 2400::1 3ffe:ffff::1 3fff:1000::1 2606:4700::5efe:101:101
""")


@pytest.mark.parametrize("address", REFUSED)
def test_forbidden_addresses_are_rejected(address):
    assert find_address_error(address)


@pytest.mark.parametrize(("how", "v4"), WRAPPED)
def test_embedded_addresses_are_rejected(how, v4):
    assert find_address_error(WRAPPERS[how](IPv4Address(v4)))


@pytest.mark.parametrize("address", [*PUBLIC_V4, *PUBLIC_V6])
def test_public(address):
    assert find_address_error(address) is None


@pytest.mark.parametrize("how", ["mapped", "compatible", "nat64", "local nat64"])
@pytest.mark.parametrize("v4", PUBLIC_V4)
def test_embedded_public_address_is_checked(how, v4):
    assert find_address_error(WRAPPERS[how](IPv4Address(v4))) is None


@pytest.mark.parametrize("how", ["6to4", "teredo"])
def test_tunnels_are_rejected(how):
    assert find_address_error(WRAPPERS[how](IPv4Address("8.8.8.8")))


@pytest.mark.parametrize(
    "address",
    split_words(
        "10.0.0.1 127.0.0.1 172.16.9.9 192.168.1.1 100.64.0.1 ::1 fd00::1 ::ffff:10.0.0.1 8.8.8.8"
    ),
)
def test_operator_may_allow_private_addresses(address):
    assert find_address_error(address, allowed=True) is None


@pytest.mark.parametrize(
    "address",
    [*METADATA, *split_words("169.254.1.1 0.0.0.0 224.0.0.1 255.255.255.255 :: ff02::1 fe80::1")],
)
def test_operator_cannot_allow_link_local_metadata_or_multicast(address):
    assert find_address_error(address, allowed=True)


@pytest.mark.parametrize("how", WRAPPERS)
def test_operator_cannot_allow_embedded_metadata(how):
    assert find_address_error(WRAPPERS[how](IPv4Address("169.254.169.254")), allowed=True)


@pytest.mark.parametrize(
    "text", ["", "a", "1.2.3", "1.2.3.4.5", "0177.0.0.1", "[::1]", "1.1.1.1\n"]
)
def test_text_that_is_not_an_address_is_rejected(text):
    assert find_address_error(text)


def naive(v4: IPv4Address) -> bool:
    return any(v4 in ip_network(text) for text in [*DENIED_V4, "168.63.129.16/32"])


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_in_the_table_or_public(v4):
    assert bool(find_address_error(v4)) == naive(v4)
    assert bool(find_address_error(WRAPPERS["mapped"](v4))) == naive(v4)


@given(st.ip_addresses(v=6))
def test_every_valid_ipv6_address_is_unicast_or_embeds_ipv4(v6):
    if find_address_error(v6) is None and v6 not in ip_network("2000::/3"):
        assert not naive(IPv4Address(int(v6) & 0xFFFFFFFF))


@given(st.text())
def test_no_text_raises(text):
    fault = find_address_error(text)
    assert fault is None or fault.startswith("resolves to")
    if fault is None:
        ip_address(text)
