"""The request targets that are accepted."""

from __future__ import annotations

import pytest

from common.errors import BadRequestError, NotFoundError, UriTooLongError
from credentials.proxy.target import check_path, decode_fully, parse_target


def test_parts_are_kept_as_written():
    target = parse_target("/proxy/openai/v1/files%20x;a?b=%zz&c=/../d")
    assert (target.prefix, target.service, target.id) == ("/proxy/openai", "openai", None)
    assert (target.path, target.query) == ("/v1/files%20x;a", "b=%zz&c=/../d")


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/proxy/a", "", None),
        ("/proxy/a/", "/", None),
        ("/proxy/a?", "", ""),
        ("/proxy/a?b", "", "b"),
    ],
)
def test_path_and_query_may_be_absent(raw, path, query):
    target = parse_target(raw)
    assert (target.path, target.query) == (path, query)


@pytest.mark.parametrize(
    "raw",
    [
        "http://evil.example/proxy/a/b",
        "//evil.example/proxy/a/b",
        "evil.example:443",
        "*",
        "",
        "/proxy/a/b c",
        "/proxy/a/b\\c",
        "/proxy/a/b#c",
        "/proxy/a/\r\nX: 1",
        "/proxy/a/é",
        '/proxy/a/"',
        "/proxy/a/<b>",
    ],
)
def test_ambiguous_target_is_rejected(raw):
    with pytest.raises(BadRequestError):
        parse_target(raw)


@pytest.mark.parametrize(
    "raw", ["/", "/proxy", "/proxy/", "/v1/proxy/credential/", "/v1/proxy/x/y", "/PROXY/a/b", "/v1"]
)
def test_unknown_route_is_404(raw):
    with pytest.raises(NotFoundError):
        parse_target(raw)


def test_target_length_is_limited():
    parse_target("/proxy/a/" + "x" * 4087)
    with pytest.raises(UriTooLongError):
        parse_target("/proxy/a/" + "x" * 4088)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1/charges",
        "/v1/charges/",
        "/a.b/.well-known/c..d/...",
        "/a%20b/%C3%A9",
        "/a;b=c/~d",
        "/wait%E2%80%A6/%EF%AC%81le",
    ],
)
def test_plain_paths_are_accepted(path):
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/a//b", "//", "/a/../b", "/..", "/.", "/a/./b", "/a/..;/b", "/a/.;x=1/b"),
        *("/a%2Fb", "/a%2fb", "/a%252fb", "/a%25252Fb", "/a%5Cb", "/a%5cb", "/a%255c"),
        *("/%2e%2e/a", "/%2E./a", "/.%2e/a", "/a%2eb", "/%252e%252e/"),
        *("/%c0%ae%c0%ae/a", "/a%C0%AFb", "/a%c1%9cb", "/a%25c0%25ae"),
        *("/%e0%80%ae%e0%80%ae/a", "/%f0%80%80%ae%f0%80%80%ae/a", "/a%f0%80%80%afb", "/%ff"),
        *("/%ef%bc%8e%ef%bc%8e/a", "/a%ef%bc%8fb", "/a%ef%bc%bcb", "/%e2%80%a4%e2%80%a4/a"),
        *("/%25ef%25bc%258e%25ef%25bc%258e/a", "/%ef%bc%852e%ef%bc%852e/a", "/%e2%80%a5/a"),
        *("/..%20/a", "/..%23/a", "/..%3f/a", "/..%3Fx=1/a", "/.%20"),
        *("/a%00", "/a%0d%0aX:1", "/a%250a", "/a%7F", "/a%1f", "/a%", "/a%2", "/a%zz"),
    ],
)
def test_ambiguous_paths_are_rejected(path):
    with pytest.raises(BadRequestError):
        check_path(path)


def test_provider_file_may_allow_some_paths():
    check_path("/projects/group%2Fname", frozenset({"encoded_slash"}))
    check_path("/a//b", frozenset({"empty_segment"}))
    check_path("/a%2Eb", frozenset({"encoded_dot"}))


ALL = frozenset({"encoded_slash", "encoded_backslash", "encoded_dot", "empty_segment"})


@pytest.mark.parametrize(
    "path", ["/../a", "/%2e%2e/a", "/a%2f..%2fb", "/a%5c..%5cb", "/%252e%252e;/"]
)
def test_dot_segments_are_never_allowed(path):
    with pytest.raises(BadRequestError):
        check_path(path, ALL)


def test_decodes_repeatedly():
    assert decode_fully("/%2561%2562/%63") == "/ab/c"
