"""manage.py verify_events"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from events.verification import verify_events


class Command(BaseCommand):
    help = (
        "Compare every event with the seals that workers put over them, and every seal with the one"
        " before. Prints how many are sealed, and how many are not yet. Exit code 1 if anything was"
        " changed, removed, put in or moved; each finding is a line on standard error. Changes nothing."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--known",
            metavar="NUMBER:DIGEST",
            help="`last` of an earlier run, kept elsewhere: that seal must still be there",
        )

    def handle(self, *args: Any, known: str | None, **options: Any) -> None:
        found = verify_events(known=known)
        for fault in found.errors:
            self.stderr.write(fault)
        self.stdout.write(
            f"seals={found.checkpoints} sealed={found.covered_events} unsealed={found.uncovered_events}"
            f" faults={len(found.errors)} last={found.latest_checkpoint or '-'}"
        )
        if found.errors:
            raise SystemExit(1)
