"""The built-in files: complete, valid, and true to the documented kinds."""

import orjson
import pytest

from providers import properties
from providers.checks import check_providers
from providers.registry import DATA_DIR, get_registry
from providers.serializers import serialize_provider

SLUGS = {
    *("airtable", "anthropic", "auth0", "binance", "checkout_champ", "custom", "github", "hubspot"),
    *("linear", "marketo", "netsuite", "openai", "quickbooks", "salesforce", "sendgrid"),
    *("servicenow", "shopify", "stripe", "workday"),
}
KINDS = sorted({kind.name for kind in get_registry().kinds.values()})

# Kind: its fields in addition to `kind` and `name`, its secret fields, its identity fields.
DOCUMENTED = {
    "airtable_oauth2": (
        {"airtable_uid", "refresh_token", "scope", "access_token", "expires_at"},
        {"refresh_token", "access_token"},
        ["airtable_uid"],
    ),
    "checkout_champ_password": ({"login_id", "password"}, {"password"}, ["login_id"]),
    "github_app": (
        {"account_type", "account_login", "installation_id"},
        set(),
        ["installation_id"],
    ),
    "hubspot_oauth2": (
        {"hub_domain", "hub_id", "hubspot_user", "hubspot_user_id", "refresh_token", "scopes"}
        | {"access_token", "expires_at"},
        {"refresh_token", "access_token"},
        ["hub_id"],
    ),
    "linear_oauth2": (
        {
            "access_token",
            "refresh_token",
            "scope",
            "linear_org_id",
            "linear_org_name",
            "expires_at",
        },
        {"access_token", "refresh_token"},
        ["linear_org_id"],
    ),
    "salesforce_oauth2": (
        {"instance_url", "refresh_token", "access_token", "expires_at"},
        {"refresh_token", "access_token"},
        ["instance_url"],
    ),
    "stripe_key": ({"secret", "test"}, {"secret"}, []),
    "stripe_oauth2": ({"secret", "test"}, {"secret"}, []),
    "stripe_sequin": ({"secret", "test"}, {"secret"}, []),
}

# Imports as the documentation of the two APIs shows them.
SHOWN = [
    {"kind": "stripe_key", "name": "Choam Stripe", "secret": "sk_live_example", "test": False},
    {"kind": "stripe_key", "secret_key": "sk_live_example"},
    {"kind": "stripe_oauth2", "name": "Choam Stripe", "secret": "sk_live_example", "test": False},
    {"kind": "stripe_oauth", "secret": "sk_live_example"},
    {"kind": "airtable_oauth2", "refresh_token": "x", "scope": "data.records:read"},
    {"kind": "checkout_champ_password", "login_id": "api", "password": "x"},
    {"kind": "github_app", "account_type": "User", "account_login": "x", "installation_id": 1},
    {"kind": "github", "installation_id": 1},
    {"kind": "hubspot", "hub_id": 1, "refresh_token": "x", "scopes": ["oauth"], "name": "Hub"},
    {"kind": "linear_oauth2", "access_token": "x", "scope": "read write"},
    {"kind": "salesforce", "instance_url": "https://na1.salesforce.com", "refresh_token": "x"},
]


def test_the_check_finds_nothing():
    assert check_providers() == []


def test_every_provider_is_there():
    assert set(get_registry().providers) >= SLUGS
    assert {path.stem for path in DATA_DIR.glob("*.json")} == set(get_registry().providers) - {
        "custom"
    }


@pytest.mark.parametrize("name", KINDS)
def test_the_example_is_accepted_and_shows_no_secret(name):
    kind = get_registry().kinds[name]
    shown, secrets = properties.validate_properties(kind, dict(kind.example))
    assert shown["kind"] == name
    assert set(secrets) == set(kind.secret_fields) & set(kind.example)
    assert {shown[field] for field in secrets} <= {properties.MASK}
    assert not any(secret in str(shown) for secret in secrets.values())


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_documented_kinds_have_the_documented_properties(name):
    fields, secret, identity = DOCUMENTED[name]
    kind = get_registry().kinds[name]
    person = {kind.person.field} if kind.person else set()
    assert set(kind.schema["properties"]) == {"kind", "name"} | fields | person
    assert set(kind.secret_fields) == secret
    assert [part.field for part in kind.identity] == identity


@pytest.mark.parametrize("shown", SHOWN, ids=lambda item: item["kind"])
def test_documented_imports_are_accepted(shown):
    kind = get_registry().get_kind(shown["kind"])
    assert kind is not None
    assert properties.validate_properties(kind, shown)[0]["kind"] == kind.name


@pytest.mark.parametrize("name", KINDS)
def test_a_rotating_kind_says_how_it_is_renewed(name):
    kind = get_registry().kinds[name]
    assert kind.needs_app is (kind.mechanism in ("oauth2", "app"))
    assert kind.refreshes is (kind.grant is not None)
    if kind.rotates:
        assert kind.grant
        assert kind.identity


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        ("stripe", "stripe_key"),
        ("openai", "openai_key"),
        ("anthropic", "anthropic_key"),
        ("sendgrid", "sendgrid_key"),
        ("binance", "binance_part_key"),
        ("custom.github", "custom_key"),
    ],
)
def test_a_posted_key_becomes_a_kind_of_its_provider(service, kind):
    provider = get_registry().get_provider(service)
    assert provider is not None
    assert provider.posted_kind is get_registry().get_kind(kind)


def test_no_document_of_a_provider_is_made_twice_or_holds_what_json_cannot():
    for provider in get_registry().providers.values():
        document = serialize_provider(provider)
        assert document is serialize_provider(provider)
        assert orjson.loads(orjson.dumps(document)) == document
        for kind in document["kinds"]:
            assert set(kind["secret_fields"]) <= set(kind["properties"]["properties"])
