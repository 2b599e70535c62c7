"""Identity: canonical values for each upstream account."""

import pytest

from providers.properties import get_identity_values
from providers.registry import get_registry


@pytest.mark.parametrize(
    ("kind", "shown", "values"),
    [
        ("github_app", {"installation_id": 42}, ["42"]),
        ("hubspot_oauth2", {"hub_id": 7}, ["7"]),
        ("hubspot_oauth2", {}, None),
        ("hubspot_oauth2", {"hub_id": None}, None),
        ("airtable_oauth2", {"airtable_uid": " UsrX "}, ["UsrX"]),
        ("linear_oauth2", {"linear_org_id": "ORG"}, ["ORG"]),
        ("checkout_champ_password", {"login_id": "Paul"}, ["Paul"]),
        ("checkout_champ_password", {"login_id": "e\u0301"}, ["é"]),
        (
            "salesforce_oauth2",
            {"instance_url": "https://NA1.Salesforce.com:443/"},
            ["na1.salesforce.com"],
        ),
        (
            "salesforce_oauth2",
            {"instance_url": "https://na1.salesforce.com./"},
            ["na1.salesforce.com"],
        ),
        ("auth0_app", {"domain": "Arrakis.EU.auth0.com"}, ["arrakis.eu.auth0.com"]),
        ("workday_oauth2", {"host": "WD2", "tenant": "ACME_1"}, ["wd2", "ACME_1"]),
        ("workday_oauth2", {"host": "wd2"}, None),
        ("binance_part_key", {"name": "api_key"}, ["api_key"]),
        ("stripe_key", {"secret": "**********"}, None),
    ],
)
def test_identity_is_canonical(kind, shown, values):
    assert get_identity_values(get_registry().kinds[kind], shown) == values


def test_custom_keys_are_identified_by_their_secret_too():
    for name in ("binance_part_key", "custom_key", "shopify_key"):
        assert get_registry().kinds[name].identity_with_secret
