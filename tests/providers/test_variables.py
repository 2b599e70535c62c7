"""URL variables from an OAuth app's config: one DNS label, or one path segment."""

from typing import Any

import pytest

from common.errors import InvalidInputError
from providers.properties import resolve_url_variables
from providers.registry import get_registry

SHOPIFY = get_registry().providers["shopify"]
WORKDAY = get_registry().providers["workday"]
HOSTILE: list[Any] = [
    *(
        "",
        ".",
        "..",
        "a.b",
        "a.evil.com?x=",
        "a/b",
        "a\\b",
        "a@b",
        "a:b",
        "a#b",
        "a%2eb",
        "a b",
        "a\n",
    ),
    *(
        "-a",
        "a-",
        "A" * 64,
        "ex\u0131t",
        "\uff41",
        "a\u3002b",
        "①",
        "a\x00",
        "{shop}",
        "a_b",
        "\u200ba",
    ),
    *(None, 7, True, ["a"], {}),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_more_than_one_label_is_rejected(value):
    with pytest.raises(InvalidInputError) as raised:
        resolve_url_variables(SHOPIFY, {"shop": value})
    assert list(raised.value.fields) == ["config.shop"]


@pytest.mark.parametrize("value", ["a", "A" * 63, "arrakis-spice", "xn--bcher-kva", "0"])
def test_one_label_is_accepted_in_lower_case(value):
    assert resolve_url_variables(SHOPIFY, {"shop": value}) == {"shop": value.lower()}


def test_a_path_segment_keeps_its_case_and_may_have_underscores():
    assert resolve_url_variables(WORKDAY, {"tenant": "Acme_1"})["tenant"] == "Acme_1"
    for value in ("a/b", "..", "a.b", "", "a?b", "x" * 64):
        with pytest.raises(InvalidInputError):
            resolve_url_variables(WORKDAY, {"tenant": value})


def test_defaults_are_filled_in_and_patterns_applied():
    salesforce = get_registry().providers["salesforce"]
    assert resolve_url_variables(salesforce, {}) == {"login": "login"}
    assert resolve_url_variables(salesforce, {"login": "TEST"}) == {"login": "test"}
    with pytest.raises(InvalidInputError):
        resolve_url_variables(salesforce, {"login": "evil"})


def test_all_errors_are_reported_at_once():
    with pytest.raises(InvalidInputError) as raised:
        resolve_url_variables(WORKDAY, {"host": "a.b", "tenant": "a/b", "port": "1"})
    assert set(raised.value.fields) == {"config.host", "config.tenant", "config.port"}


@pytest.mark.parametrize("config", [None, [], "shop", 7])
def test_config_must_be_an_object(config):
    with pytest.raises(InvalidInputError) as raised:
        resolve_url_variables(SHOPIFY, config)
    assert raised.value.fields == {"config": ["must be an object"]}
