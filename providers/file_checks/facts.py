"""Rules for the evidence of a provider file: every fact has it, and it says no more than is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from providers.facts import list_fact_paths, list_facts
from providers.file_checks.findings import EVIDENCE, UNKNOWN_FIELD, FileError

_FEWEST_SOURCES: Final = {"vendor": 1, "vendor_code": 1, "two_independent": 2, "one_independent": 0}


def find_fact_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    stated = {fact.path: fact for fact in list_facts(document)}
    for fact in stated.values():
        if fact.evidence is None:
            yield EVIDENCE, f"facts.{fact.path}", "is required: the file states this fact"
            continue
        sureness, sources = fact.evidence["sureness"], fact.evidence["sources"]
        if len(sources) < _FEWEST_SOURCES[sureness]:
            reason = f"must have {_FEWEST_SOURCES[sureness]} of them if sureness is {sureness}"
            yield EVIDENCE, f"facts.{fact.path}.sources", reason
        if sureness == "one_independent" and not sources and not document["sources"]:
            reason = "may only be empty if the file has sources, on one of which the fact was read"
            yield EVIDENCE, f"facts.{fact.path}.sources", reason
    known = list_fact_paths(document)
    for path in document["facts"]:
        if path not in known:
            yield UNKNOWN_FIELD, f"facts.{path}", "is not the path of a fact of this file"
