"""The committed OpenAPI document is that of the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.api.docs import schema_document
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


def test_kind_is_the_discriminator_of_properties(schema):
    properties = schema["components"]["schemas"]["CredentialProperties"]
    assert set(properties["discriminator"]["mapping"]) == {
        kind.name for kind in get_registry().kinds.values()
    }


def test_the_metadata_filter_is_json_in_the_query(schema):
    parameters = schema["paths"]["/v1/credentials"]["get"]["parameters"]
    metadata = next(p for p in parameters if p["name"] == "metadata")
    assert metadata["content"] == {"application/json": {"schema": {"type": "object"}}}


def test_the_docs_page_requests_no_other_host(db):
    response = ApiClient().get("/docs")
    assert response.status_code == 200
    assert b"http://" not in response.content.replace(b"http://testserver", b"")
    assert b"https://" not in response.content
