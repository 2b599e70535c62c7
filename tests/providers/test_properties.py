"""Validation of properties: what is stored, and what is rejected with which reason."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from common.errors import InvalidInputError
from providers.properties import MASK, validate_properties
from providers.registry import get_registry

LONG = "x" * 16_385
STRIPE = {"kind": "stripe_key", "name": "Choam", "secret": "sk_test_1", "test": True}
HUBSPOT = {"kind": "hubspot_oauth2", "hub_id": 7, "refresh_token": "r", "scopes": ["oauth"]}
SALESFORCE = {
    "kind": "salesforce_oauth2",
    "instance_url": "https://arrakis.my.salesforce.com",
    "refresh_token": "r",
}


def faults(properties: Any, kind: str | None = None, **options: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidInputError) as raised:
        validate_properties(get_registry().kinds[kind or properties["kind"]], properties, **options)
    return raised.value.fields


def accepted(properties: Any, **options: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return validate_properties(get_registry().kinds[properties["kind"]], properties, **options)


def test_displayed_properties_keep_order_and_secrets_their_bytes():
    given = {
        "test": True,
        "secret": " sk \u0065\u0301 ",
        "kind": "stripe_key",
        "name": "e\u0301",
    }
    shown, secrets = accepted(given)
    assert list(shown.items()) == [
        ("test", True),
        ("secret", MASK),
        ("kind", "stripe_key"),
        ("name", "\u00e9"),
    ]
    assert secrets == {"secret": " sk \u0065\u0301 "}


def test_aliases_become_the_real_names():
    assert validate_properties(
        get_registry().kinds["stripe_oauth"], {"kind": "stripe_oauth", "secret_key": "s"}
    ) == (
        {"kind": "stripe_oauth2", "secret": MASK},
        {"secret": "s"},
    )


@pytest.mark.parametrize("order", [("secret", "secret_key"), ("secret_key", "secret")])
def test_field_under_two_names_is_rejected(order):
    given = {"kind": "stripe_key", **dict.fromkeys(order, "s")}
    assert list(faults(given)) == [f"properties.{order[1]}"]


@pytest.mark.parametrize("mask", ["*", "**********", "***********"])
def test_the_mask_is_not_a_secret(mask):
    assert faults(STRIPE | {"secret": mask}) == {
        "properties.secret": ["is the mask, not the secret"]
    }


def test_all_errors_are_reported_at_once_without_values():
    found = faults({"kind": "stripe_oauth2", "test": "hidden", "colour": "hidden"}, "stripe_key")
    assert found == {
        "properties.kind": ["must be stripe_key"],
        "properties.test": ["must be true or false"],
        "properties.colour": ["unknown field"],
        "properties.secret": ["is required"],
    }


def test_partial_needs_no_secret_but_all_the_rest():
    assert accepted({"kind": "stripe_key", "test": False}, partial=True)[1] == {}
    assert list(faults({"kind": "salesforce_oauth2"}, partial=True)) == ["properties.instance_url"]
    assert list(faults({"kind": "stripe_key", "secret": ""}, partial=True)) == ["properties.secret"]


@pytest.mark.parametrize("properties", [None, [], "x", 7, True, [("kind", "stripe_key")]])
def test_properties_must_be_an_object(properties):
    assert faults(properties, "stripe_key") == {"properties": ["must be an object"]}


@pytest.mark.parametrize("kind", [None, "", "stripe_oauth2", "Stripe_key", 7, ["stripe_key"], {}])
def test_kind_is_the_kinds_own_name(kind):
    assert list(faults(STRIPE | {"kind": kind}, "stripe_key")) == ["properties.kind"]


def test_kind_is_required():
    assert list(faults({"secret": "s"}, "stripe_key")) == ["properties.kind"]


def each(good: dict[str, Any], field: str, *values: Any) -> list[tuple[dict[str, Any], str, Any]]:
    return [(good, field, value) for value in values]


WRONG = [
    *each(STRIPE, "secret", None, 7, True, "", " \n", [], {}, "a\x00b", "\ud800", LONG),
    *each(STRIPE, "name", None, 7, "", " ", "a\nb", "a\u202eb", "x" * 1025, ["x"]),
    *each(STRIPE, "test", None, 0, 1, "true", []),
    *each(HUBSPOT, "hub_id", None, True, 1.0, 0, -1, 2**53, "7", [7]),
    *each(HUBSPOT, "scopes", None, "oauth", {}, [7], ["a", None], [""], ["x"] * 501),
    *each(
        SALESFORCE, "instance_url", "http://na1.salesforce.com", "na1.salesforce.com", "https://"
    ),
    *each(SALESFORCE, "instance_url", "https://a.example", "https://salesforce.com.evil.example"),
    *each(SALESFORCE, "instance_url", "https://evilsalesforce.com", "https://u@na1.salesforce.com"),
    *each(SALESFORCE, "instance_url", "https://na1.salesforce.com:8443", "https://10.0.0.1"),
    *each(SALESFORCE, "instance_url", "https://na1.salesforce.com/x", "https://a.salesforce.com?x"),
    *each(SALESFORCE, "instance_url", "https://a.salesforce.com#x", "https://a b.salesforce.com"),
    *each(SALESFORCE, "instance_url", "https://na1.salesforce.com\\@evil.example"),
    *each(SALESFORCE, "instance_url", "https://a.salesforce.com.", "https://-a.salesforce.com"),
    *each(
        SALESFORCE, "instance_url", "https://a\u0131.salesforce.com", "https://a.salesforce.com\n"
    ),
    *each(SALESFORCE, "expires_at", "2026-11-21", "2026-11-21T09:30:00", "2026-11-21 09:30:00Z"),
    *each(SALESFORCE, "expires_at", "2026-02-30T00:00:00Z", "2026-11-21T24:00:01Z", 1_700_000_000),
    *each(SALESFORCE, "expires_at", "2026-11-21T09:30:60Z", "0000-01-01T00:00:00Z", None),
    *each(SALESFORCE, "expires_at", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *each(SALESFORCE, "expires_at", "10000-01-01T00:00:00Z", "2026-11-21T09:30:00+25:00"),
    *each(SALESFORCE, "expires_at", "\u0662026-11-21T09:30:00Z", "2026-11-21T09:30:00.Z"),
]


@pytest.mark.parametrize(("good", "field", "value"), WRONG)
def test_wrong_values_are_rejected(good, field, value):
    assert list(faults(good | {field: value})) == [f"properties.{field}"]


@pytest.mark.parametrize(
    "value",
    [
        *("2026-11-21T09:30:00Z", "2026-11-21T09:30:00+05:30", "2026-11-21T09:30:00.123456789Z"),
        *("9999-12-31T23:59:59Z", "2028-02-29T00:00:00-00:00"),
    ],
)
def test_times_with_an_offset_are_accepted(value):
    assert accepted(SALESFORCE | {"expires_at": value})[0]["expires_at"] == value


@pytest.mark.parametrize(
    "value",
    [
        *("https://arrakis.my.salesforce.com", "https://arrakis.my.salesforce.com/"),
        *("https://Arrakis--UAT.sandbox.my.salesforce.com:443", "https://na1.salesforce.com"),
    ],
)
def test_addresses_of_the_provider_are_accepted(value):
    assert accepted(SALESFORCE | {"instance_url": value})[0]["instance_url"] == value


def test_a_label_that_grows_in_nfc_keeps_to_the_limit():
    assert accepted(STRIPE | {"name": "\u0958" * 512})
    assert list(faults(STRIPE | {"name": "\u0958" * 513})) == ["properties.name"]


def test_unprintable_field_name_is_escaped():
    (name,) = faults(STRIPE | {"a\x00\ud800": 1})
    assert name.isascii()
    assert name.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = sorted({kind.name for kind in get_registry().kinds.values()})


@given(name=st.sampled_from(NAMES), data=st.data())
def test_nothing_but_invalid_is_raised_and_the_schema_accepts_what_is_accepted(name, data):
    kind = get_registry().kinds[name]
    fields = st.sampled_from([*kind.schema["properties"], *kind.property_aliases]) | st.text()
    changes = data.draw(
        st.dictionaries(fields, JSON | st.text(alphabet="*ahptx:/.@-_Z0"), max_size=3)
    )
    properties = dict(kind.example) | changes
    try:
        shown, secrets = validate_properties(kind, properties)
    except InvalidInputError:
        return
    assert Draft202012Validator(kind.schema).is_valid(shown | secrets)
    assert set(secrets) == set(kind.secret_fields) & set(shown)
