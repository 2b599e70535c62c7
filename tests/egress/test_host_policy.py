"""Host policy: no spelling of an IP address, and no name of the local network."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from egress.policy import find_host_name_error, find_public_host_error
from tests.egress.tables import split_words

GOOD = split_words("""
    example.com api.stripe.com a.b.c.d.example xn--bcher-kva.example xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g
    1password.com 0.0.0.0.example.com 3com.com a--b.example r3---sn-x.example.com x.test my-host.io
    internal.example.com localhost.example.com metadata.example.com local.io 127.0.0.1.nip.io
""")
LITERALS = split_words("""
    127.0.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 127.1 127.0.1 0 1 0x0 00.00.00.00 127.0.0.0x1
    169.254.169.254 0xa9fea9fe 2852039166 0251.0376.0251.0376 [::1] ::1 [::ffff:127.0.0.1]
    [64:ff9b::a9fe:a9fe] [::127.0.0.1] 239.255.255.250 100.100.100.200 1.2.3 999.999.999.999 4294967297
    example.1 example.0x1 a.1b [fe80::1%25eth0] 0000:0000::1
""")
OTHER_ALPHABETS = [
    "①②⑦.⓪.⓪.①",
    "ⓔⓧⓐⓜⓟⓛⓔ.com",
    "１２７.０.０.１",
    "127。0。0。1",
    "example。com",
    "bücher.example",
    "раypal.com",
    "٠.example.com",
    "exampleㅤ.com",
    "ex\u00adample.com",
    "example\u200b.com",
    "K.example.com",
]
OURS = split_words("""
    localhost a.localhost localhost.localdomain printer.local metadata.google.internal metadata.internal
    ip-10-0-0-1.ec2.internal vault.service.internal router.home.arpa kubernetes.default.svc
    api.default.svc.cluster.local metadata.tencentyun.com metadata.packet.net
    metadata.platformequinix.com x.metadata.packet.net
""")
ODD = [
    "",
    ".",
    "..",
    "com",
    "metadata",
    "instance-data",
    "example.com.",
    ".example.com",
    "a..b",
    "-a.com",
    "a-.com",
    "a_b.com",
    "*.example.com",
    "a b.com",
    "a.com ",
    " a.com",
    "a.com\n",
    "a\tb.com",
    "a.com\x00",
    "user@a.com",
    "a.com:80",
    "a.com/",
    "a.com\\b.com",
    "a.com%00",
    "a%2ecom",
    "A.com",
    "EXAMPLE.COM",
    "a.com#",
    "a,b.com",
    f"{'a' * 64}.com",
    f"{'a.' * 126}com",
    "-.com",
    "a.-b",
]


@pytest.mark.parametrize("name", [*GOOD, f"{'a' * 63}.com", f"{'a.' * 125}com"])
def test_names(name):
    assert find_public_host_error(name) is None


@pytest.mark.parametrize("name", [*LITERALS, *OTHER_ALPHABETS, *OURS, *ODD])
def test_forbidden_addresses_are_rejected(name):
    assert find_public_host_error(name)


@pytest.mark.parametrize("name", ["mailhog", "localhost", "vault.service.internal", "x.test"])
def test_operator_may_allow_a_local_name(name):
    assert find_host_name_error(name) is None


@given(st.text())
@example("①②⑦.⓪.⓪.①")
def test_no_text_raises(text):
    assert (find_public_host_error(text) or "must").startswith("must")


NUMBERS = st.integers(0, 2**32) | st.integers(0, 255)
PARTS = st.builds(str.format, st.sampled_from(["{}", "{:#x}", "0{:o}", "000{}"]), NUMBERS)


@given(st.lists(PARTS, min_size=1, max_size=4).map(".".join))
def test_nothing_that_the_system_reads_as_an_address_passes(text):
    """The resolver reads what `inet_aton` accepts as an address, and other rows of numbers too."""
    assert find_public_host_error(text)
