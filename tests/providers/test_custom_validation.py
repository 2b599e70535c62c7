"""Validation of custom providers: a key stays on the host it was given for."""

from typing import Any

import pytest

from common.errors import InvalidInputError
from providers.custom_validation import validate_custom_provider
from providers.formats import find_host_error
from providers.models import CustomProvider
from providers.registry import get_registry

WRONG = [
    *[("name", value) for value in ("", "A", "-a", "_a", "a.b", "a" * 64, "a\n", "é", None, 7)],
    *[
        ("base_url", value)
        for value in (
            *("", "http://api.acme.example", "https://", "https://acme", "https://10.0.0.1"),
            *(
                "https://127.1",
                "https://[::1]",
                "https://0x7f.1",
                "https://a.0x1",
                "https://2130706433",
            ),
            *(
                "https://u@api.acme.example",
                "https://u:p@api.acme.example",
                "https://api.acme.example:8443",
            ),
            *(
                "https://api.acme.example?x=1",
                "https://api.acme.example#x",
                "https://api.acme.example/../x",
            ),
            *(
                "https://api.acme.example//x",
                "https://api.acme.example/%2e",
                "https://api.acme.example\\x",
            ),
            *(
                "https://api.acme.example/a b",
                "https://api.acme.example\n",
                "https://аpi.acme.example",
            ),
            *(
                "https://api.acme.example/" + "x" * 200,
                "https://localhost",
                "ftp://api.acme.example",
                None,
            ),
        )
    ],
    *[
        ("auth_header", v)
        for v in ("", "Host", "content-length", "X Key", "X:Key", "X\r\nA", "x" * 65, None)
    ],
    *[("prefix", value) for value in ("\r\n", "é", "x" * 33, None, "\x7f")],
    *[
        ("blocked_endpoints", v)
        for v in ("GET /", ["/x"], ["get /x"], ["GET x"], [7], [None], ["GET /\n"], None)
    ],
    *[("rate_limit", value) for value in (-1, 1_000_001, True, 1.5, "100", None)],
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_fields_are_rejected(field, value):
    with pytest.raises(InvalidInputError) as raised:
        validate_custom_provider({field: value})
    assert list(raised.value.fields) == [field]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://API.acme.example", "https://api.acme.example"),
        ("https://api.acme.example/", "https://api.acme.example"),
        ("https://api.acme.example:443/V1/", "https://api.acme.example/V1"),
    ],
)
def test_base_urls_are_stored_in_one_spelling(given, stored):
    assert validate_custom_provider({"base_url": given}) == {"base_url": stored}


def test_good_fields_are_stored_as_they_are():
    fields: dict[str, Any] = {
        "name": "arrakis-1_a",
        "auth_header": "X-Api-Key",
        "prefix": "",
        "blocked_endpoints": ["DELETE /v1/*", "* /admin"],
        "rate_limit": 0,
    }
    assert validate_custom_provider(fields) == fields


@pytest.mark.parametrize(
    "host", ["a", "a..b", "a.b.", ".a.b", "a.1", "a.0x1", "a_b.c", "a" * 64 + ".b", "a.b" * 90]
)
def test_hosts_are_dns_names(host):
    assert find_host_error(host)


def test_its_credentials_are_of_the_kind_custom_key():
    assert CustomProvider(name="arrakis").slug == "custom.arrakis"
    assert get_registry().get_provider("custom.arrakis") is get_registry().providers["custom"]
    assert get_registry().get_provider("customs") is None
    assert get_registry().get_kind("arrakis") is None
