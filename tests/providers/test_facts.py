"""The evidence of facts: every fact of every file has it."""

from __future__ import annotations

import copy
from io import StringIO
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from providers.facts import SURENESSES, list_fact_paths, list_facts, list_unknown
from providers.file_checks import find_errors
from providers.registry import DATA_DIR
from tests.providers.documents import replace_at

FILES = sorted(path.stem for path in DATA_DIR.glob("*.json"))
SCHEMA = orjson.loads((DATA_DIR.parent / "schema.json").read_bytes())
LINKEDIN = orjson.loads((DATA_DIR / "linkedin.json").read_bytes())
PAGE = {"url": "https://docs.example.com/oauth", "read": "2026-11-30", "says": "S256 is accepted."}


def read(slug: str) -> Any:
    return orjson.loads((DATA_DIR / f"{slug}.json").read_bytes())


def find(tmp_path: Any, document: Any) -> list[tuple[str, str]]:
    path = tmp_path / f"{document['slug']}.json"
    path.write_bytes(orjson.dumps(document))
    return [(field, reason) for _, (_, field, reason) in find_errors([path])]


@pytest.mark.parametrize("slug", FILES)
def test_every_fact_has_evidence(slug):
    document = read(slug)
    for fact in list_facts(document):
        assert fact.evidence is not None, fact.path
        assert fact.evidence["sureness"] in SURENESSES
        assert fact.evidence["sources"] or document["sources"], fact.path


@pytest.mark.parametrize("path", sorted(LINKEDIN["facts"]))
def test_a_fact_without_evidence_is_an_error(tmp_path, path):
    document = copy.deepcopy(LINKEDIN)
    del document["facts"][path]
    assert find(tmp_path, document) == [(f"facts.{path}", "is required: the file states this fact")]


def test_a_fact_that_becomes_known_needs_evidence(tmp_path):
    document = replace_at(LINKEDIN, "oauth", "revocation_url", to="https://www.linkedin.com/revoke")
    assert find(tmp_path, document)[0][0] == "facts.oauth.revocation_url"


def test_evidence_of_no_field_is_an_error(tmp_path):
    evidence = {"sureness": "vendor", "sources": [PAGE]}
    document = replace_at(LINKEDIN, "facts", "oauth.pkcs", to=evidence)
    assert find(tmp_path, document) == [
        ("facts.oauth.pkcs", "is not the path of a fact of this file")
    ]


@pytest.mark.parametrize(
    ("sureness", "sources", "is_enough"),
    [
        ("vendor", [], False),
        ("vendor", [PAGE], True),
        ("vendor_code", [], False),
        ("two_independent", [PAGE], False),
        ("two_independent", [PAGE, {**PAGE, "url": "https://other.example.com/"}], True),
        ("one_independent", [], True),
    ],
)
def test_sureness_needs_its_number_of_sources(tmp_path, sureness, sources, is_enough):
    evidence = {"sureness": sureness, "sources": sources}
    document = replace_at(LINKEDIN, "facts", "oauth.pkce", to=evidence)
    assert (find(tmp_path, document) == []) is is_enough


def test_a_file_without_any_page_names_one_for_each_fact(tmp_path):
    document = replace_at(LINKEDIN, "sources", to=[])
    fields = [field for field, _ in find(tmp_path, document)]
    assert fields
    assert all(field.startswith("facts.") and field.endswith(".sources") for field in fields)


def test_every_field_of_oauth_can_state_a_fact():
    """A new field is in the walk without being named there."""
    paths = list_fact_paths(LINKEDIN)
    oauth = SCHEMA["$defs"]["oauth"]["properties"]
    for name in oauth.keys() & LINKEDIN["oauth"].keys() - {"required_scopes", "refresh"}:
        assert f"oauth.{name}" in paths
    for name in oauth["refresh"]["properties"].keys() - {"responses"}:
        assert f"oauth.refresh.{name}" in paths


def test_what_is_null_is_unknown():
    assert "oauth.revocation_url" in list_unknown(LINKEDIN)
    assert "oauth.pkce" not in list_unknown(LINKEDIN)


def test_command_counts_the_facts_of_a_file():
    out = StringIO()
    call_command("check_providers", "linkedin", report=True, stdout=out)
    first, *_, last = out.getvalue().splitlines()
    facts = list(list_facts(LINKEDIN))
    assert first.startswith(f"linkedin: {len(facts)} facts (vendor ")
    assert last.startswith(f"1 providers: {len(facts)} facts")
    assert any(
        line.startswith("  null: ") and "oauth.revocation_url" in line
        for line in out.getvalue().splitlines()
    )


def test_command_names_an_unknown_provider():
    with pytest.raises(CommandError, match="arrakis"):
        call_command("check_providers", "arrakis")


def test_command_fails_on_a_wrong_file(folder):
    wrong = {**copy.deepcopy(LINKEDIN), "slug": "acme"}
    (folder / "acme.json").write_bytes(orjson.dumps(wrong))
    with pytest.raises(CommandError, match=r"acme\.json: kinds\.linkedin_oauth2"):
        call_command("check_providers")


DECISIONS = [
    orjson.loads(line) for line in DATA_DIR.with_name("decisions.jsonl").read_bytes().splitlines()
]


def test_each_difference_from_other_sources_is_decided():
    assert len(DECISIONS) == 116
    for each in DECISIONS:
        assert set(each) == {"provider", "fact", "theirs", "sources", "decision", "why"}
        assert each["provider"] in FILES
        assert each["decision"] in {"mended", "kept", "open"}
        assert each["why"]
