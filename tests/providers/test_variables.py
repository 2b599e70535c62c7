"""URL variables from an OAuth app's config: one DNS label, or one path segment."""

from typing import Any

import pytest

from common.errors import InvalidInputError
from providers.properties import resolve_url_variables
from providers.registry import get_registry
from providers.url_templates import expand_url_template

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
    assert resolve_url_variables(salesforce, {}) == {"login": "login", "domain": "salesforce.com"}
    assert resolve_url_variables(salesforce, {"login": "TEST"})["login"] == "test"
    with pytest.raises(InvalidInputError):
        resolve_url_variables(salesforce, {"login": "evil"})


@pytest.mark.parametrize("login", ["acme.my", "acme--uat.sandbox.my", "a.develop.my", "login"])
def test_salesforce_logs_in_at_a_my_domain(login):
    salesforce = get_registry().providers["salesforce"]
    assert salesforce.oauth
    url = expand_url_template(
        salesforce.oauth.token_url,
        provider=salesforce,
        config={"login": login, "domain": "salesforce.mil"},
    )
    assert url == f"https://{login}.salesforce.mil/services/oauth2/token"


@pytest.mark.parametrize(
    "config",
    [
        {"login": "evil.example"},
        {"login": "my"},
        {"login": "a.b.my"},
        {"login": "acme.my."},
        {"domain": "example.com"},
        {"domain": "com"},
    ],
)
def test_nothing_else_is_a_my_domain(config):
    with pytest.raises(InvalidInputError):
        resolve_url_variables(get_registry().providers["salesforce"], config)


def test_a_national_cloud_has_its_own_hosts():
    microsoft = get_registry().providers["microsoft"]
    assert microsoft.oauth
    config = {"authority": "login.microsoftonline.us", "graph": "graph.microsoft.us"}
    config["tenant"] = "11111111-2222-3333-4444-555555555555"
    templates = (microsoft.oauth.token_url, f"{microsoft.base_url}/v1.0/me")
    assert [expand_url_template(each, provider=microsoft, config=config) for each in templates] == [
        f"https://login.microsoftonline.us/{config['tenant']}/oauth2/v2.0/token",
        "https://graph.microsoft.us/v1.0/me",
    ]


def test_the_region_of_a_key_is_a_property_of_it():
    kind = get_registry().kinds["intercom_key"]
    intercom = get_registry().providers["intercom"]
    template = f"{intercom.base_url}/me"
    for properties, host in (({}, "api"), ({"api": "api.eu"}, "api.eu")):
        url = expand_url_template(template, provider=intercom, kind=kind, properties=properties)
        assert url == f"https://{host}.intercom.io/me"


ORIGINS = [
    ("https://git.example.com", "https://git.example.com"),
    ("https://GIT.Example.com/", "https://git.example.com"),
    ("https://example.com/Git", "https://example.com/Git"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
]


@pytest.mark.parametrize(("value", "stored"), ORIGINS)
def test_an_origin_is_the_base_url_of_a_server(value, stored):
    gitlab = get_registry().providers["gitlab"]
    assert gitlab.oauth
    assert resolve_url_variables(gitlab, {"origin": value}) == {"origin": stored}
    url = expand_url_template(gitlab.oauth.token_url, provider=gitlab, config={"origin": value})
    assert url == f"{stored}/oauth/token"


@pytest.mark.parametrize(
    "value",
    [
        *("git.example.com", "ftp://git.example.com", "https://u@git.example.com", "https://a b"),
        *("https://git.example.com?x", "https://git.example.com#x", "https://a.example/../x"),
        *("https://", "https://a.example:0", "https://a.example\n", "//a.example", 7, None),
    ],
)
def test_an_origin_is_nothing_else(value):
    with pytest.raises(InvalidInputError) as raised:
        resolve_url_variables(get_registry().providers["gitlab"], {"origin": value})
    assert list(raised.value.fields) == ["config.origin"]


def test_all_errors_are_reported_at_once():
    with pytest.raises(InvalidInputError) as raised:
        resolve_url_variables(WORKDAY, {"host": "a.b", "tenant": "a/b", "port": "1"})
    assert set(raised.value.fields) == {"config.host", "config.tenant", "config.port"}


@pytest.mark.parametrize("config", [None, [], "shop", 7])
def test_config_must_be_an_object(config):
    with pytest.raises(InvalidInputError) as raised:
        resolve_url_variables(SHOPIFY, config)
    assert raised.value.fields == {"config": ["must be an object"]}
