"""The committed OpenAPI document is what the code says."""

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


def test_the_committed_document_is_the_codes(schema):
    assert json.loads(FILE.read_bytes()) == schema, "run `make schema` and commit docs/openapi.json"


def test_is_openapi_3_1_and_public(db, schema):
    answer = ApiClient().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == schema
    assert schema["openapi"].startswith("3.1")


def test_properties_are_told_apart_by_kind(schema):
    properties = schema["components"]["schemas"]["CredentialProperties"]
    assert set(properties["discriminator"]["mapping"]) == {
        kind.name for kind in get_registry().kinds.values()
    }


def test_the_metadata_filter_is_json_in_the_query(schema):
    parameters = schema["paths"]["/v1/credentials"]["get"]["parameters"]
    metadata = next(p for p in parameters if p["name"] == "metadata")
    assert metadata["content"] == {"application/json": {"schema": {"type": "object"}}}


def test_the_docs_page_asks_no_other_host(db):
    answer = ApiClient().get("/docs")
    assert answer.status_code == 200
    assert b"http://" not in answer.content.replace(b"http://testserver", b"")
    assert b"https://" not in answer.content
