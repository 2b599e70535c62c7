"""The command `forget_key`."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from common.management import raise_command_errors
from vault.key_retirement import forget_key
from vault.key_usage import count_rows_by_key


class Command(BaseCommand):
    help = (
        "Continue without a key that is lost for good. The values that it encrypted stay as they are:"
        " using such a row returns 409 until all its secrets are imported again. Prints the number of"
        " these rows. If you find the key, put it back in VAULT_KEYS: they can be decrypted again."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "id", metavar="ID", help="the lost key's id, from the error message at start"
        )

    def handle(self, *args: Any, id: str, **options: Any) -> None:
        with raise_command_errors():
            forget_key(id)
        for column, key_id, rows in count_rows_by_key():
            if key_id == id and str(column) != "vault_canary.sealed":
                self.stdout.write(f"{column} {rows}")
