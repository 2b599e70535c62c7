"""The command `rotate_keys`."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from vault import rotation


class Command(BaseCommand):
    help = (
        "Encrypt with the first key of VAULT_KEYS every value that is encrypted with another. Safe to"
        " stop, to repeat and to run while the service runs. Exit code 1 if any value remains."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--batch",
            type=_parse_positive,
            default=rotation.BATCH_SIZE,
            help="rows per transaction (default %(default)s)",
        )

    def handle(self, *args: Any, batch: int, **options: Any) -> None:
        result = rotation.rotate_keys(batch=batch, on_progress=self._print_progress)
        for value in result.failed:
            self.stderr.write(f"cannot be decrypted: {value}")
        self.stdout.write(
            f"rotated={result.rotated} remaining={result.remaining} failed={len(result.failed)}"
        )
        if result.remaining or result.failed:
            raise SystemExit(1)

    def _print_progress(self, seen: int, total: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{seen}/{total}", ending="\n" if seen >= total else "")


def _parse_positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
