"""The committed OpenAPI document is that of the code."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config.api.docs import schema_document
from config.api.examples import EXAMPLES
from config.api.operations import MAX_SUMMARY
from credentials.connect import oauth_views
from providers.registry import get_registry
from tests.api import ApiClient

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return dict(json.loads(schema_document()))


def test_the_committed_document_is_current(schema):
    assert json.loads(FILE.read_bytes()) == schema, "run `make schema` and commit docs/openapi.json"


def test_the_document_is_public_openapi_3_1(db, schema):
    response = ApiClient().get("/openapi.json")
    assert response.status_code == 200
    assert response.json() == schema
    assert schema["openapi"].startswith("3.1")


def test_properties_are_open_and_do_not_grow_with_the_providers(schema):
    schemas = schema["components"]["schemas"]
    for name in ("CredentialProperties", "CredentialPropertiesRequest"):
        assert schemas[name]["required"] == ["kind"]
        assert schemas[name]["additionalProperties"] is True
    assert not {kind.name for kind in get_registry().kinds.values()} & set(schemas)
    assert FILE.stat().st_size < 300_000


def test_the_metadata_filter_is_a_string_of_json(schema):
    parameters = schema["paths"]["/v1/credentials"]["get"]["parameters"]
    metadata = next(p for p in parameters if p["name"] == "metadata")
    assert metadata["schema"] == {"type": "string", "contentMediaType": "application/json"}
    assert "content" not in metadata


def test_the_version_is_that_of_the_release(schema):
    project = tomllib.loads((FILE.parents[1] / "pyproject.toml").read_text())
    assert schema["info"]["version"] == project["project"]["version"]


def test_operations_have_names_that_programs_can_use(schema):
    operations = list(iter_operations(schema))
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations:
        name, summary = operation["operationId"], operation["summary"]
        assert re.fullmatch(r"[a-z][a-z0-9_]+", name)
        assert not re.search(
            r"^v1_|^api_|_(?:create_create|retrieve|partial_update|destroy)$", name
        )
        assert summary, f"{method} {path}"
        assert len(summary) <= MAX_SUMMARY
        assert not summary.endswith(".")


def test_every_operation_belongs_to_a_described_group(schema):
    described = {tag["name"] for tag in schema["tags"]}
    used = {tag for _, _, operation in iter_operations(schema) for tag in operation["tags"]}
    assert used == described


def test_the_proxy_and_the_pages_are_described(schema):
    paths = set(schema["paths"])
    assert {"/v1/proxy/credential/{id}/{path}", "/proxy/{service}/{path}"} <= paths
    assert {"/connect/{token}", "/link/oauth2/authorize", "/link/oauth2/start/{token}"} <= paths
    assert schema["servers"] == [{"url": "/", "description": "This server"}]


def test_the_parameters_of_authorize_are_those_that_it_accepts(schema):
    parameters = schema["paths"]["/link/oauth2/authorize"]["get"]["parameters"]
    required = {each["name"] for each in parameters if each["required"]}
    assert required == set(oauth_views._REQUIRED_PARAMS)
    assert {each["name"] for each in parameters} - required == set(oauth_views._OPTIONAL_PARAMS)


def test_no_inline_object_has_the_name_of_a_component(schema):
    """Generators name the object in `Credential.metadata` CredentialMetadata."""
    schemas = schema["components"]["schemas"]
    inline = {
        f"{name}{''.join(part.title() for part in field.split('_'))}"
        for name, component in schemas.items()
        for field, value in component.get("properties", {}).items()
        if "$ref" not in value
    }
    assert not inline & set(schemas)
    titles = [component["title"] for component in schemas.values() if "title" in component]
    assert len(set(titles)) == len(titles)


def test_every_reference_has_its_component(schema):
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert names == set(schema["components"]["schemas"])


def test_descriptions_are_for_readers_of_the_api(schema):
    texts = [
        value
        for value in iter_strings(schema, "description")
        if re.search(r"\b[a-z_]+\.[a-z_]+\.[a-z_]+\b|`scopes`|JSON object\. An unknown|DRF", value)
    ]
    assert [value for value in texts if "latchkey" not in value] == []


def test_every_example_is_valid(schema):
    count = 0
    for path, method, operation in iter_operations(schema):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (part for body in bodies for part in body.get("content", {}).values()):
            if "example" in media:
                described = {**media["schema"], "components": schema["components"]}
                errors = list(Draft202012Validator(described).iter_errors(media["example"]))
                assert errors == [], (method, path)
                count += 1
    assert count == sum(
        len(example.get("responses", {})) + ("request" in example) for example in EXAMPLES.values()
    )


def test_a_body_is_accepted_as_every_type_that_is_listed(api, schema):
    ids = {"id": "0198a1b2-0000-7000-8000-000000000001", "endpoint_id": "x", "slug": "stripe"}
    for path, method, operation in iter_operations(schema):
        if path.startswith(("/v1/proxy/", "/proxy/")):
            continue
        for media_type in operation.get("requestBody", {}).get("content", {}):
            target = re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], path)
            response = api.send(method.upper(), target, b"{}", content_type=media_type)
            assert response.status_code != 415, (method, path, media_type)


@pytest.mark.parametrize("kind", ["stripe_key", "stripe_sequin", "binance_key", "github_key"])
def test_a_response_is_valid_by_the_document(api, schema, kind):
    body = {"properties": {**get_registry().kinds[kind].example, "kind": kind}, "external_id": "x"}
    response = api.post("/v1/credentials", body)
    assert response.status_code == 200, response.content
    validate(response.json(), schema, "Credential")
    validate(api.get("/v1/credentials").json(), schema, "PaginatedCredentialList")


def validate(document: Any, schema: dict[str, Any], component: str) -> None:
    reference = {"$ref": f"#/components/schemas/{component}", "components": schema["components"]}
    Draft202012Validator(reference).validate(document)


def iter_operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def iter_strings(value: Any, key: str) -> Iterator[str]:
    """Yield the strings under `key`, at any depth."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name == key and isinstance(part, str):
                yield part
            yield from iter_strings(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from iter_strings(part, key)


def test_the_docs_page_requests_no_other_host(db):
    response = ApiClient().get("/docs")
    assert response.status_code == 200
    assert b"http://" not in response.content.replace(b"http://testserver", b"")
    assert b"https://" not in response.content
