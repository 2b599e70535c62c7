"""A file that is wrong is named with its field, before a request can meet it."""

import copy
import json
from typing import Any

import orjson
import pytest
from django.core.exceptions import ImproperlyConfigured

from providers.checks import check_providers
from providers.registry import DATA, load, registry

GOOD = orjson.loads((DATA / "sendgrid.json").read_bytes()) | {"slug": "acme"}
GOOD["kinds"] = {"acme_key": GOOD["kinds"]["sendgrid_key"]}
GOOD["kinds"]["acme_key"]["example"]["kind"] = "acme_key"
KEY = ("kinds", "acme_key")


@pytest.fixture
def folder(settings, tmp_path, monkeypatch):
    """An operator's folder beside two of our files: to check them all would take its time."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    for name in ("stripe.json", "github.json"):
        (ours / name).symlink_to(DATA / name)
    monkeypatch.setattr("providers.registry.DATA", ours)
    settings.PROVIDERS_DIR = str(theirs)
    registry.cache_clear()
    yield theirs
    registry.cache_clear()


def changed(*path: str, to: Any) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(GOOD)
    at = document
    for step in path[:-1]:
        at = at.setdefault(step, {})
    at[path[-1]] = to
    return document


def test_an_operators_file_is_read_beside_ours(folder):
    (folder / "acme.json").write_text(json.dumps(GOOD))
    assert check_providers() == []
    assert registry().kinds["acme_key"].provider == "acme"


BROKEN = [
    ("E002", "slug", changed("slug", to="Acme!")),
    ("E002", "slug", changed("slug", to="custom")),
    ("E002", "sources", changed("sources", to=[])),
    ("E002", "sources.0", changed("sources", to=[{"url": "https://acme.example"}])),
    (
        "E002",
        "sources.0.read",
        changed("sources", to=[{"url": "https://a.example", "read": "now"}]),
    ),
    ("E002", "website", changed("website", to="http://acme.example")),
    ("E002", "api.base_url", changed("api", "base_url", to="http://api.acme.example")),
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
]


@pytest.mark.parametrize(("code", "field", "document"), BROKEN)
def test_a_broken_file_is_named_with_its_field(folder, code, field, document):
    (folder / "acme.json").write_text(json.dumps(document))
    found = [message for message in check_providers() if message.id == f"providers.{code}"]
    assert found
    assert any("acme.json: " in message.msg and field in message.msg for message in found)


def test_a_variable_for_paths_may_not_stand_in_a_host(folder):
    document = changed("api", "base_url", to="https://{tenant}.acme.example/v1")
    document["variables"] = {"tenant": {"description": "The tenant.", "place": "path"}}
    (folder / "acme.json").write_text(json.dumps(document))
    assert [message.id for message in check_providers()] == ["providers.E006"]


def test_two_kinds_may_not_both_take_a_posted_key(folder):
    document = copy.deepcopy(GOOD)
    other = copy.deepcopy(document["kinds"]["acme_key"])
    other["example"]["kind"] = "acme_other_key"
    document["kinds"]["acme_other_key"] = other
    (folder / "acme.json").write_text(json.dumps(document))
    assert [message.id for message in check_providers()] == ["providers.E008"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"null", b'{"slug": 1}'])
def test_a_file_that_is_no_provider_is_a_fault_and_stops_the_registry(folder, content):
    (folder / "acme.json").write_bytes(content)
    assert {message.id for message in check_providers()} <= {"providers.E001", "providers.E002"}
    assert check_providers()
    with pytest.raises(ImproperlyConfigured, match=r"acme\.json"):
        registry()


def test_a_folder_that_is_not_there_is_a_fault(folder, settings):
    settings.PROVIDERS_DIR = str(folder / "absent")
    assert [message.id for message in check_providers()] == ["providers.E001"]
    with pytest.raises(ImproperlyConfigured, match="PROVIDERS_DIR"):
        registry()


@pytest.mark.parametrize(
    "document", [changed("slug", to="stripe"), changed(*KEY, "aliases", to=["github"])]
)
def test_a_second_provider_or_kind_of_one_name_stops_the_registry(tmp_path, document):
    path = tmp_path / "acme.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ImproperlyConfigured, match="is taken"):
        load([*sorted(DATA.glob("*.json")), path])
