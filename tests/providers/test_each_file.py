"""Each built-in file: complete, safe for a customer's values, and with its sources."""

import datetime as dt
import functools
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from common.errors import InvalidInputError
from providers.checks import check_providers
from providers.properties import resolve_url_variables
from providers.registry import DATA_DIR, get_registry
from providers.serializers import serialize_provider

FILES = sorted(path.stem for path in DATA_DIR.glob("*.json"))
WITH_VARIABLES = [slug for slug in FILES if get_registry().providers[slug].variables]
CONNECTED = sorted(kind.name for kind in get_registry().kinds.values() if kind.connect)
FOREIGN = [
    "evil.example",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a:1",
    "..",
    "",
    "a b",
    "a%2fb",
    "{x}",
    None,
    7,
]


@functools.cache
def faults() -> tuple[str, ...]:
    return tuple(message.msg for message in check_providers())


@functools.cache
def document(slug: str) -> Any:
    return orjson.loads((DATA_DIR / f"{slug}.json").read_bytes())


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def test_there_are_more_than_a_hundred():
    assert len(FILES) >= 105


@pytest.mark.parametrize("slug", FILES)
def test_file_matches_the_schema_and_the_rules(slug):
    assert [message for message in faults() if f"/{slug}.json: " in message] == []


@pytest.mark.parametrize("slug", FILES)
def test_each_source_has_its_link_and_its_day(slug):
    for source in document(slug)["sources"]:
        assert re.fullmatch(
            r"(https://[a-z0-9.-]+\.[a-z]{2,}(/[!-~]*)?|pkg:(npm|pypi)/[!-~]+)", source["url"]
        )
        assert dt.date(2026, 1, 1) <= dt.date.fromisoformat(source["read"])


@pytest.mark.parametrize("slug", FILES)
def test_each_address_is_https(slug):
    assert not [text for text in strings(document(slug)) if "http://" in text]


@pytest.mark.parametrize("slug", WITH_VARIABLES)
def test_a_variable_is_one_label_or_one_segment(slug):
    provider = get_registry().providers[slug]
    for name in provider.variables:
        for value in FOREIGN:
            with pytest.raises(InvalidInputError):
                resolve_url_variables(provider, {name: value})


def add_defaults(oauth: Any) -> dict[str, Any]:
    """Return a section of a file as the API shows it."""
    refresh = {name: value for name, value in oauth["refresh"].items() if name != "responses"}
    scopes = [
        {"included_in": [], **each, "source": {"says": None, **each["source"]}}
        for each in oauth.get("required_scopes", [])
    ]
    options = {
        name: {"values": [], "pattern": None, **option}
        for name, option in oauth.get("authorize_options", {}).items()
    }
    shown = {**oauth, "refresh": refresh, "required_scopes": scopes, "authorize_options": options}
    return {"scopes_required": False, **shown}


@pytest.mark.parametrize("slug", FILES)
def test_oauth_facts_reach_the_objects_and_the_api(slug):
    provider, said = get_registry().providers[slug], document(slug)
    shown = serialize_provider(provider)
    assert shown["oauth"] == (add_defaults(said["oauth"]) if said["oauth"] else None)
    sections = said.get("oauth_sections", {})
    assert shown["oauth_sections"] == {
        name: add_defaults(oauth) for name, oauth in sections.items()
    }
    assert (provider.oauth is None) is (said["oauth"] is None)


@pytest.mark.parametrize("slug", FILES)
def test_limits_reach_the_api(slug):
    said = document(slug)["api"].get("limits")
    shown = serialize_provider(get_registry().providers[slug])["limits"]
    empty: tuple[Any, ...] = (None, [])
    kept = [
        {name: value for name, value in each.items() if value not in empty} for each in shown or ()
    ]
    for each in kept:
        each["source"] = {name: part for name, part in each["source"].items() if part is not None}
    assert kept == (said or [])
    assert (shown is None) is (said is None)


@pytest.mark.parametrize(
    "slug",
    [
        *("airtable", "auth0", "hubspot", "github", "linear", "marketo", "netsuite", "quickbooks"),
        *(
            "salesforce",
            "sendgrid",
            "servicenow",
            "shopify",
            "stripe",
            "openai",
            "anthropic",
            "binance",
        ),
    ],
)
def test_the_limits_of_the_documented_providers_are_there(slug):
    assert get_registry().providers[slug].limits


@pytest.mark.parametrize("name", CONNECTED)
def test_connect_fills_all_that_an_import_requires(name):
    kind = get_registry().kinds[name]
    assert kind.connect is not None
    filled = {"kind", "name", "access_token", "refresh_token", *kind.connect.properties}
    assert set(kind.schema["required"]) <= filled
    assert {part.field for part in kind.identity} <= filled


@pytest.mark.parametrize("name", CONNECTED)
def test_how_it_connects_is_shown(name):
    kind = get_registry().kinds[name]
    shown = serialize_provider(get_registry().providers[kind.provider])["kinds"]
    (connect,) = [item["connect"] for item in shown if item["kind"] == name]
    said = document(kind.provider)["kinds"][name]["connect"]
    places = {
        field: {"place": part["in"], **{name: part[name] for name in part if name != "in"}}
        for field, part in said["properties"].items()
    }
    assert connect["properties"] == places
    assert (connect["call"] is None) is (said["call"] is None)


def test_parameters_of_the_protocol_are_the_flows_own():
    own = {
        "client_id",
        "redirect_uri",
        "response_type",
        "state",
        "scope",
        "code_challenge",
        "nonce",
    }
    for slug in FILES:
        oauth = get_registry().providers[slug].oauth
        assert not own & set(oauth.authorize_params if oauth else ())


@pytest.mark.parametrize(
    ("slug", "params"),
    [
        ("google", {"access_type": "offline", "prompt": "consent"}),
        ("dropbox", {"token_access_type": "offline"}),
        ("atlassian", {"audience": "api.atlassian.com", "prompt": "consent"}),
        ("notion", {"owner": "user"}),
    ],
)
def test_offline_access_is_requested_if_it_is_documented(slug, params):
    oauth = get_registry().providers[slug].oauth
    assert oauth is not None
    assert oauth.authorize_params == params
