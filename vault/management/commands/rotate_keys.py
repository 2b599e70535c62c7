"""manage.py rotate_keys"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from vault import rotation


class Command(BaseCommand):
    help = (
        "Seal anew, under the first key of VAULT_KEYS, whatever lies under another. Safe to stop, to"
        " repeat and to run while the service runs. Exit code 1 if anything remains."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--batch",
            type=_positive,
            default=rotation.BATCH_SIZE,
            help="rows per transaction (default %(default)s)",
        )

    def handle(self, *args: Any, batch: int, **options: Any) -> None:
        outcome = rotation.rotate_keys(batch=batch, on_progress=self._show)
        for unopened in outcome.failed:
            self.stderr.write(f"does not open: {unopened}")
        self.stdout.write(
            f"rotated={outcome.rotated} remaining={outcome.remaining} failed={len(outcome.failed)}"
        )
        if outcome.remaining or outcome.failed:
            raise SystemExit(1)

    def _show(self, seen: int, total: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{seen}/{total}", ending="\n" if seen >= total else "")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
