"""manage.py forget_key"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from common.management import raise_command_errors
from vault.key_retirement import forget_key
from vault.key_usage import count_rows_by_key


class Command(BaseCommand):
    help = (
        "Go on without a key that is lost for good. What it sealed stays, shut: each such row"
        " answers 409 when it is used, until an import with all its secrets heals it. Prints how"
        " many rows that are. Should the key be found, put it back in VAULT_KEYS: they open again."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("id", metavar="ID", help="the lost key's id, as the refused start says")

    def handle(self, *args: Any, id: str, **options: Any) -> None:
        with raise_command_errors():
            forget_key(id)
        for column, key_id, rows in count_rows_by_key():
            if key_id == id and str(column) != "vault_canary.sealed":
                self.stdout.write(f"{column} {rows}")
