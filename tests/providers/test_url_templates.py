"""URL templates: a customer's URLs stay on the domain of the provider's file."""

from typing import Any

import pytest

from common.errors import InvalidInputError
from providers.registry import get_registry
from providers.url_templates import expand_url_template


def made(slug: str, template: Any, **given: Any) -> str:
    return expand_url_template(template, provider=get_registry().providers[slug], **given)


def made_for(kind_name: str, template: str, **shown: Any) -> str:
    kind = get_registry().kinds[kind_name]
    return made(kind.provider, template, kind=kind, properties=shown)


KINDS = [kind for kind in get_registry().kinds.values() if kind.provider != "custom"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_example_leads_to_its_provider(kind):
    template = get_registry().providers[kind.provider].base_url
    url = made(kind.provider, template, kind=kind, properties=kind.example)
    assert url.startswith("https://")
    assert "{" not in url


def test_property_has_priority_over_the_apps_config():
    template = "https://{shop}.myshopify.com"
    kind, config = get_registry().kinds["shopify_key"], {"shop": "two"}
    assert made("shopify", template, config=config) == "https://two.myshopify.com"
    assert made("shopify", template, kind=kind, properties={"shop": "one"}, config=config) == (
        "https://one.myshopify.com"
    )


def test_defaults_are_used():
    template = "https://{login}.salesforce.com/token"
    assert made("salesforce", template) == "https://login.salesforce.com/token"


def test_an_address_is_used_without_its_port_and_slash():
    url = "https://NA1.Salesforce.com:443/"
    assert made_for("salesforce_oauth2", "{instance_url}", instance_url=url) == (
        "https://na1.salesforce.com"
    )


@pytest.mark.parametrize(
    ("template", "config", "field"),
    [
        ("https://{shop}.myshopify.com", {}, "config.shop"),
        ("https://{shop}.myshopify.com", {"shop": "a.evil.example/x"}, "config.shop"),
        ("https://{other}.myshopify.com", {}, "config.other"),
    ],
)
def test_absent_and_unsafe_variables_are_named(template, config, field):
    with pytest.raises(InvalidInputError) as raised:
        made("shopify", template, config=config)
    assert list(raised.value.fields) == [field]


@pytest.mark.parametrize("value", [None, "https://evil.example", "https://u@na1.salesforce.com", 7])
def test_stored_property_is_validated_again(value):
    with pytest.raises(InvalidInputError) as raised:
        made_for("salesforce_oauth2", "{instance_url}/x", instance_url=value)
    assert list(raised.value.fields) == ["properties.instance_url"]


def test_host_outside_the_template_is_rejected():
    with pytest.raises(InvalidInputError):
        made("shopify", "https://{shop}", config={"shop": "localhost"})
