"""The system check: a wrong file is reported with its field, before a request needs it."""

import copy
import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from providers.checks import check_providers
from providers.registry import DATA_DIR, get_registry, load_registry
from tests.providers.documents import replace_at

GOOD = json.loads((DATA_DIR / "sendgrid.json").read_text().replace("sendgrid_", "acme_")) | {
    "slug": "acme"
}
KEY = ("kinds", "acme_key")


def changed(*path: str, to: Any) -> dict[str, Any]:
    return replace_at(GOOD, *path, to=to)


def test_operators_file_is_read_in_addition_to_the_built_in_ones(folder):
    (folder / "acme.json").write_text(json.dumps(GOOD))
    assert check_providers() == []
    assert get_registry().kinds["acme_key"].provider == "acme"


LIMIT = {
    "requests": 5,
    "seconds": 1,
    "per": "credential",
    "enforced": True,
    "source": {"url": "https://acme.example/limits", "read": "2026-11-21", "sureness": "vendor"},
}


def limited(*without: str, **change: Any) -> dict[str, Any]:
    limit = {name: value for name, value in LIMIT.items() if name not in without}
    return changed("api", "limits", to=[{**limit, **change}])


BROKEN = [
    ("E002", "slug", changed("slug", to="Acme!")),
    ("E002", "slug", changed("slug", to="custom")),
    ("E010", "format", {name: part for name, part in GOOD.items() if name != "format"}),
    ("E002", "format", changed("format", to=3)),
    ("E002", "facts.api.base_url.sureness", changed("facts", "api.base_url", "sureness", to="yes")),
    ("E002", "facts.api.base_url", changed("facts", "api.base_url", to={"sources": []})),
    ("E004", "facts.api.url", changed("facts", "api.url", to=GOOD["facts"]["api.base_url"])),
    ("E009", "facts.api.base_url", changed("facts", to={})),
    ("E002", "sources.0", changed("sources", to=[{"url": "https://acme.example"}])),
    (
        "E002",
        "sources.0.read",
        changed("sources", to=[{"url": "https://a.example", "read": "now"}]),
    ),
    ("E002", "website", changed("website", to="http://acme.example")),
    ("E002", "kinds.acme_key", changed(*KEY, "colour", to="red")),
    (
        "E002",
        "kinds.acme_key.properties.key",
        changed(*KEY, "properties", "key", "default", to="x"),
    ),
    (
        "E002",
        "kinds.acme_key.properties.key",
        changed(*KEY, "properties", "key", "type", to="object"),
    ),
    ("E002", "kinds.acme_key.probe", changed(*KEY, "probe", "ok", to=[])),
    ("E003", "slug", changed("slug", to="stripe")),
    ("E003", "kinds.acme_key", changed(*KEY, "aliases", to=["stripe_key"])),
    (
        "E003",
        "kinds.acme_key.property_aliases",
        changed(*KEY, "property_aliases", to={"name": "key"}),
    ),
    ("E004", "kinds.acme_key.secret", changed(*KEY, "secret", to=["token"])),
    ("E004", "kinds.acme_key.required", changed(*KEY, "required", to=["token"])),
    ("E004", "kinds.acme_key.identity", changed(*KEY, "identity", to=[{"field": "uid"}])),
    ("E004", "kinds.acme_key.posted_key", changed(*KEY, "posted_key", to="token")),
    (
        "E004",
        "kinds.acme_key.property_aliases",
        changed(*KEY, "property_aliases", to={"k": "token"}),
    ),
    ("E004", "kinds.acme_key.auth", changed("api", "auth", "values", to={"X-Key": "{token}"})),
    ("E005", "kinds.acme_key.example.key", changed(*KEY, "example", "key", to=7)),
    ("E005", "kinds.acme_key.example.colour", changed(*KEY, "example", "colour", to="red")),
    ("E006", "api.base_url", changed("api", "base_url", to="https://{shop}.acme.example")),
    ("E006", "api.base_url", changed("api", "base_url", to="https://{key}.acme.example")),
    ("E006", "kinds.acme_key.probe.path", changed(*KEY, "probe", "path", to="/v1/{uid}")),
    ("E007", "slug", changed("slug", to="emca")),
    ("E008", "kinds.acme_key.identity", changed(*KEY, "identity", to=[{"field": "key"}])),
    ("E008", "kinds.acme_key.grant", changed(*KEY, "grant", to="refresh_token")),
    ("E008", "kinds.acme_key.posted_key", changed(*KEY, "secret", to=[])),
    ("E008", "kinds.acme_key.auth", changed("api", "auth", to=None)),
    ("E002", "pattern", changed(*KEY, "properties", "key", "pattern", to="^(?P<1>a)$")),
    ("E002", "pattern", changed(*KEY, "properties", "key", "pattern", to="^a\\$")),
    ("E002", "pattern", changed(*KEY, "properties", "key", "pattern", to="a+")),
    ("E008", "kinds.acme_key", changed(*KEY, "mechanism", to="password")),
    ("E002", "kinds.acme_key", changed(*KEY, "connect", to=None)),
    ("E002", "api.limits", changed("api", "limits", to=[])),
    ("E002", "api.limits.0.requests", limited(requests=0)),
    ("E002", "api.limits.0.seconds", limited(seconds="1")),
    ("E002", "api.limits.0.seconds", limited(seconds=86_401)),
    ("E002", "api.limits.0: 'seconds' is a dependency", limited("seconds")),
    ("E002", "api.limits.0.per", limited(per="planet")),
    ("E002", "api.limits.0: 'source' is a required", limited("source")),
    (
        "E002",
        "api.limits.0.source: 'read' is a required",
        limited(source={"url": "https://a.example", "sureness": "vendor"}),
    ),
    ("E002", "api.limits.0: Additional", limited(plan="free")),
    ("E004", "api.limits.0.kinds", limited(kinds=["stripe_key"])),
    ("E008", "api.limits.0.at_once", limited(at_once=5)),
    ("E008", "api.limits.0.note", limited(enforced=False)),
    ("E008", "api.limits.0.per", limited(per="address")),
    ("E008", "api.limits.0.per", limited(per="app")),
    ("E008", "api.limits.0.enforced", limited("requests", "seconds")),
]


@pytest.mark.parametrize(("code", "field", "document"), BROKEN)
def test_wrong_file_is_reported_with_its_field(folder, code, field, document):
    (folder / "acme.json").write_text(json.dumps(document))
    found = [message for message in check_providers() if message.id == f"providers.{code}"]
    assert found
    assert any("acme.json: " in message.msg and field in message.msg for message in found)


@pytest.mark.parametrize(
    "document",
    [
        limited(),
        limited("requests", "seconds", at_once=10),
        limited("requests", "seconds", enforced=False, note="By the plan."),
        limited(kinds=["acme_key"], per="account", note="By user."),
        changed("api", "limits", to=None),
    ],
)
def test_documented_limits_are_valid(folder, document):
    (folder / "acme.json").write_text(json.dumps(document))
    assert check_providers() == []
    said = document["api"]["limits"]
    provider = get_registry().providers["acme"]
    assert (provider.limits is None) is (said is None)
    enforced = [each for each in said or () if each["enforced"]]
    assert len(provider.get_enforced_limits("acme_key")) == len(enforced)


def test_path_variable_may_not_be_in_a_host(folder):
    document = changed("api", "base_url", to="https://{tenant}.acme.example/v1")
    document["variables"] = {"tenant": {"description": "The tenant.", "place": "path"}}
    document["facts"]["variables.tenant"] = document["facts"]["api.base_url"]
    (folder / "acme.json").write_text(json.dumps(document))
    assert [message.id for message in check_providers()] == ["providers.E006"]


def test_two_kinds_may_not_both_take_a_posted_key(folder):
    document = copy.deepcopy(GOOD)
    other = copy.deepcopy(document["kinds"]["acme_key"])
    other["example"]["kind"] = "acme_other_key"
    document["kinds"]["acme_other_key"] = other
    for name in ("auth", "probe"):
        if fact := document["facts"].get(f"kinds.acme_key.{name}"):
            document["facts"][f"kinds.acme_other_key.{name}"] = fact
    (folder / "acme.json").write_text(json.dumps(document))
    assert [message.id for message in check_providers()] == ["providers.E008"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"null", b'{"slug": 1}'])
def test_malformed_file_fails_the_check_and_the_registry(folder, content):
    (folder / "acme.json").write_bytes(content)
    assert {message.id for message in check_providers()} <= {
        "providers.E001",
        "providers.E002",
        "providers.E010",
    }
    assert check_providers()
    with pytest.raises(ImproperlyConfigured, match=r"acme\.json"):
        get_registry()


def test_missing_folder_fails_the_check(folder, settings):
    settings.PROVIDERS_DIR = str(folder / "absent")
    assert [message.id for message in check_providers()] == ["providers.E001"]
    with pytest.raises(ImproperlyConfigured, match="PROVIDERS_DIR"):
        get_registry()


@pytest.mark.parametrize(
    "document", [changed("slug", to="stripe"), changed(*KEY, "aliases", to=["github"])]
)
def test_a_second_provider_or_kind_of_one_name_stops_the_registry(tmp_path, document):
    path = tmp_path / "acme.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ImproperlyConfigured, match="is in use already"):
        load_registry([*sorted(DATA_DIR.glob("*.json")), path])
