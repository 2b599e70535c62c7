from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from providers.facts import SURENESSES, list_facts, list_unknown
from providers.file_checks import find_errors
from providers.registry import list_data_files


class Command(BaseCommand):
    help = "Validates the provider files; --report prints how sure each fact is."
    # The same check, whose errors this command prints itself.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="PROVIDER", help="By default, all.")
        parser.add_argument(
            "--report", action="store_true", help="Print each fact's sureness, and what is null."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        files = list_data_files()
        errors = [f"{path}: {field}: {reason}" for path, (_, field, reason) in find_errors(files)]
        if errors:
            raise CommandError("\n".join(errors))
        documents = {path.stem: orjson.loads(path.read_bytes()) for path in files}
        if unknown := set(options["slugs"]) - documents.keys():
            raise CommandError(f"There is no provider {', '.join(sorted(unknown))}.")
        total: Counter[str] = Counter()
        for slug in options["slugs"] or sorted(documents):
            counts = self._report(documents[slug], print_facts=options["report"])
            total += counts
        self.stdout.write(f"{len(options['slugs'] or documents)} providers: {_format(total)}")

    def _report(self, document: dict[str, Any], *, print_facts: bool) -> Counter[str]:
        facts = list(list_facts(document))
        unknown = list(list_unknown(document))
        counts = Counter(fact.evidence["sureness"] for fact in facts if fact.evidence)
        counts["unrecorded"] = sum(not fact.evidence["sources"] for fact in facts if fact.evidence)
        counts["null"] = len(unknown)
        if print_facts:
            self.stdout.write(f"{document['slug']}: {_format(counts)}")
            for sureness in SURENESSES:
                paths = [
                    fact.path
                    for fact in facts
                    if fact.evidence and fact.evidence["sureness"] == sureness
                ]
                if paths:
                    self.stdout.write(f"  {sureness}: {' '.join(paths)}")
            if unknown:
                self.stdout.write(f"  null: {' '.join(unknown)}")
        return counts


def _format(counts: Counter[str]) -> str:
    stated = sum(counts[sureness] for sureness in SURENESSES)
    parts = ", ".join(f"{sureness} {counts[sureness]}" for sureness in SURENESSES)
    return (
        f"{stated} facts ({parts}; page not recorded {counts['unrecorded']}), null {counts['null']}"
    )
