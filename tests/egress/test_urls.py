"""URLs: unambiguous, or rejected with a reason."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from egress.urls import Url, parse_url

GOOD = {
    "https://example.com": ("example.com", "/"),
    "https://example.com/": ("example.com", "/"),
    "https://example.com:443/a": ("example.com", "/a"),
    "HTTPS://API.Example.COM/A": ("api.example.com", "/A"),
    "https://example.com?a=b": ("example.com", "/?a=b"),
    "https://example.com/a/../b/./c//d": ("example.com", "/a/../b/./c//d"),
    "https://example.com/%2e%2e/%2F?q=%00": ("example.com", "/%2e%2e/%2F?q=%00"),
    "https://example.com/?u=https://evil.test@x/": ("example.com", "/?u=https://evil.test@x/"),
    "https://example.com/?filter={a|b}^`[1]": ("example.com", "/?filter={a|b}^`[1]"),
    "https://example.com/a:b;c=d,e!$&'()*+~": ("example.com", "/a:b;c=d,e!$&'()*+~"),
    "https://rebind.test/": ("rebind.test", "/"),
    "https://xn--bcher-kva.example/": ("xn--bcher-kva.example", "/"),
}
BAD = {
    "": "address such as",
    "example.com": "address such as",
    "//example.com/": "address such as",
    "https:example.com": "address such as",
    "https:/example.com": "address such as",
    "https:///example.com": "have a host",
    "https://": "have a host",
    "https://?a": "have a host",
    "https://:443/": "have a host",
    "http://example.com/": "begin with https://",
    "ftp://example.com/": "address such as",
    "file:///etc/passwd": "address such as",
    "gopher://example.com/": "address such as",
    "unix:///run/docker.sock": "address such as",
    "javascript:alert(1)": "address such as",
    "https://example.com:8443/": "port other than 443",
    "https://example.com:80/": "port other than 443",
    "https://example.com:/": "no port or one of digits",
    "https://example.com:0443/": "no port or one of digits",
    "https://example.com:443:443/": "no port or one of digits",
    "https://example.com:+443/": "no port or one of digits",
    "https://example.com:4 43/": "visible ASCII",
    "https://example.com:99999/": "port other than 443",
    "https://user@example.com/": "user or password",
    "https://user:pw@example.com/": "user or password",
    "https://@example.com/": "user or password",
    "https://example.com@127.0.0.1/": "user or password",
    "https://example.com%40127.0.0.1/": "the host",
    "https://example.com\\@127.0.0.1/": "visible ASCII",
    "https:\\\\example.com/": "visible ASCII",
    "https://example.com/\\..\\x": "visible ASCII",
    "https://exa\tmple.com/": "visible ASCII",
    "https://exa\nmple.com/": "visible ASCII",
    "https://exa\rmple.com/": "visible ASCII",
    "https://example.com/a b": "visible ASCII",
    " https://example.com/": "visible ASCII",
    "https://example.com/ ": "visible ASCII",
    "https://example.com/\x00": "visible ASCII",
    "https://example.com/\x7f": "visible ASCII",
    "https://example.com/ HTTP/1.1\r\nX: y": "visible ASCII",
    "https://example.com/ü": "visible ASCII",
    "https://①②⑦.⓪.⓪.①/": "visible ASCII",
    "https://example。com/": "visible ASCII",
    "https://example.com/\u202e": "visible ASCII",
    'https://example.com/"': "visible ASCII",
    "https://example.com/<a>": "visible ASCII",
    "https://example.com/#a": "fragment",
    "https://example.com#@127.0.0.1/": "fragment",
    "https://example.com./": "end with a dot",
    "https://127.0.0.1/": "the host",
    "https://2130706433/": "the host",
    "https://0x7f.1/": "the host",
    "https://0177.0.0.1/": "the host",
    "https://239.255.255.250/": "the host",
    "https://100.100.100.200/": "the host",
    "https://[::1]/": "the host",
    "https://[::127.0.0.1]/": "the host",
    "https://[64:ff9b::a9fe:a9fe]/": "the host",
    "https://[::1]:443/": "the host",
    "https://[::1/": "have a host",
    "https://[::1]x/": "have a host",
    "https://metadata.google.internal/": "local network",
    "https://localhost/": "not an IP address",
    "https://a.localhost/": "local network",
    "https://a_b.example.com/": "DNS name",
    "https://*.example.com/": "DNS name",
    "https://acme;x.example.com/": "DNS name",
    f"https://example.com/{'a' * 8192}": "at most 8192",
    f"https://{'a.' * 127}com/": "DNS name",
}


@pytest.mark.parametrize("url", GOOD)
def test_good(url):
    host, target = GOOD[url]
    assert parse_url(url) == Url("https", host, 443, target)


@pytest.mark.parametrize("url", BAD)
def test_bad(url):
    with pytest.raises(InvalidInputError) as refused:
        parse_url(url, field="webhook")
    [reason] = refused.value.fields["webhook"]
    assert BAD[url] in reason


def test_a_reason_never_repeats_the_url():
    with pytest.raises(InvalidInputError) as refused:
        parse_url("https://user:hunter2@example.com/?key=hunter2")
    assert "hunter2" not in f"{refused.value} {refused.value.fields}"


def test_printing_a_url_hides_its_path_and_query():
    assert "hunter2" not in repr(parse_url("https://example.com/hunter2?key=hunter2"))


ALLOW = frozenset(
    {("mail.corp", 8025), ("10.0.0.5", 8080), ("[fd00::1]", 443), ("example.com", 80)}
)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://mail.corp:8025/send", "mail.corp:8025"),
        ("https://mail.corp:8025/send", "mail.corp:8025"),
        ("http://10.0.0.5:8080/", "10.0.0.5:8080"),
        ("https://[fd00::1]/", "[fd00::1]"),
        ("https://[FD00::1]:443/", "[fd00::1]"),
        ("http://example.com/", "example.com"),
    ],
)
def test_targets_in_the_allowlist_are_accepted(url, authority):
    assert parse_url(url, allowed=ALLOW).authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.corp/",
        "http://mail.corp:8026/",
        "http://a.mail.corp:8025/",
        "http://mail.corp.:8025/",
        "http://10.0.0.6:8080/",
        "http://0xa.0.0.5:8080/",
        "http://[fd00::0001]:443/",
        "http://example.com:8080/",
        "ftp://mail.corp:8025/",
        "http://user@mail.corp:8025/",
    ],
)
def test_the_next_value_is_not_in_the_range(url):
    with pytest.raises(InvalidInputError):
        parse_url(url, allowed=ALLOW)


@given(st.text() | st.text().map("https://{}".format) | st.text().map("https://a.example{}".format))
@example("https://[")
@example("https://\ud800.com/")
def test_any_text_raises_only_invalid_input(text):
    try:
        url = parse_url(text)
    except InvalidInputError:
        return
    assert (url.scheme, url.port) == ("https", 443)
    assert url.target.isascii()
    assert not set(url.target) & set(" \t\r\n\\#")
