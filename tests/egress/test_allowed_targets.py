"""EGRESS_ALLOW: exact targets, and a readable error for anything else."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from egress.checks import check_allow
from egress.policy import allowed_targets, parse_allowlist
from tests.egress.tables import split_words


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("", set()),
        ("  ", set()),
        ("mailhog:8025", {("mailhog", 8025)}),
        ("Mail.Corp.Example:443", {("mail.corp.example", 443)}),
        ("a:1, b.internal:65535", {("a", 1), ("b.internal", 65535)}),
        ("10.0.0.5:8080,127.0.0.1:80", {("10.0.0.5", 8080), ("127.0.0.1", 80)}),
        ("[fd00::1]:443,[::1]:80", {("[fd00::1]", 443), ("[::1]", 80)}),
        ("a:1,a:1", {("a", 1)}),
    ],
)
def test_targets(text, targets):
    assert parse_allowlist(text) == targets
    assert parse_allowlist(text.split(",") if text.strip() else []) == targets


@pytest.mark.parametrize(
    "text",
    split_words("""
    mailhog mailhog: :80 mailhog:0 mailhog:080 mailhog:65536 mailhog:123456 mailhog:http a:80:80
    http://mailhog:80 mailhog:80/ mailhog:80/path *:80 *.corp:80 10.0.0.0/8:80 a@b:80 a_b:80
    a.corp.:80 -a:80 ::1:80 [::1] fd00::1:443 [10.0.0.1]:80 [::0001]:80 0x7f.1:80 127.1:80 010.0.0.1:80
    2130706433:80 ①:80 bücher.example:80 a:８０ 169.254.169.254:80 0.0.0.0:80 [::]:80 [fe80::1]:80
    224.0.0.1:80 [::ffff:169.254.169.254]:80 100.100.100.200:80 a:1,,b:2 ,a:1 a:1, a:-1 [zz]:80
    """),
)
def test_invalid_values_are_rejected_and_name_the_variable(text):
    with pytest.raises(ImproperlyConfigured, match=r"EGRESS_ALLOW: .* is not host:port"):
        parse_allowlist(text)


def test_the_setting(settings):
    settings.EGRESS_ALLOW = "mailhog:8025"
    assert allowed_targets() == {("mailhog", 8025)}
    del settings.EGRESS_ALLOW
    assert allowed_targets() == set()


def test_the_check_says_so_before_a_request_needs_it(settings):
    settings.EGRESS_ALLOW = "mailhog:8025"
    assert check_allow() == []
    settings.EGRESS_ALLOW = "http://mailhog"
    [error] = check_allow()
    assert error.id == "egress.E001"
    assert "EGRESS_ALLOW" in error.msg


@given(st.text())
def test_any_text_raises_only_invalid_input(text):
    try:
        targets = parse_allowlist(text)
    except ImproperlyConfigured:
        return
    assert all(host and 0 < port < 65_536 for host, port in targets)
